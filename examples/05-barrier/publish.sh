#!/bin/sh
# Publishes a part.
echo "published $1"
