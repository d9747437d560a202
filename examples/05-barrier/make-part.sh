#!/bin/sh
# Makes a part; one that is broken cannot be made.
case "$1" in
  broken*) echo "cannot make a $1" >&2; exit 1 ;;
esac
printf '{"part":"%s"}\n' "$1"
