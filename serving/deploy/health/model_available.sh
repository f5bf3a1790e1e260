#!/bin/bash
# Ends with 0 where a server says over REST that a version of a model is AVAILABLE: model_available.sh HOST PORT MODEL
set -eu
exec 3<>"/dev/tcp/$1/$2"
printf 'GET /v1/models/%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$3" "$1" >&3
grep -q '"AVAILABLE"' <&3
