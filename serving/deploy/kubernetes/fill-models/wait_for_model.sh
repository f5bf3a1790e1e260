#!/bin/sh
# Waits until $MODELS has a version of the model $MODEL: started before that, the server would wait with its ports closed,
# and be ended by its startup probe.
set -eu
until ls -d "$MODELS/$MODEL"/[0-9]*/saved_model.pb >/dev/null 2>&1; do
  sleep "${SECONDS_BETWEEN:-2}"
done
