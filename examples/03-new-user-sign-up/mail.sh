#!/bin/sh
# Stands for a mail server: says what it would send, as JSON.
set -eu
mkdir -p out/outbox
printf '%s to %s (%s)\n' "$1" "$2" "$WORK_ITEM_ID" >> out/outbox/mails.txt
printf '{"mail":"%s","to":"%s","id":"%s"}\n' "$1" "$2" "$WORK_ITEM_ID"
