#!/bin/sh
# Stands for setting up notifications: says what it would do, as JSON.
set -eu
printf '{"channel":"%s","to":"%s"}\n' "$1" "$2"
