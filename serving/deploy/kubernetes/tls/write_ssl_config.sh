#!/bin/sh
# Writes what --ssl_config_file reads, PEM text within a text message, from the files of a Secret in $SECRET to $OUTPUT.
set -eu
umask 077
pem() { awk '{ printf "%s\\n", $0 }' "$1"; }
{
  printf 'server_key: "%s"\n' "$(pem "$SECRET/tls.key")"
  printf 'server_cert: "%s"\n' "$(pem "$SECRET/tls.crt")"
  if [ -f "$SECRET/ca.crt" ] && [ "${VERIFY_CLIENTS:-false}" = true ]; then
    printf 'custom_ca: "%s"\nclient_verify: true\n' "$(pem "$SECRET/ca.crt")"
  fi
} > "$OUTPUT"
