#!/bin/sh
# Copies models/NAME/VERSION from $SOURCE into $MODELS, so that a server sees a version folder whole or not at all: what
# is copied lies in a hidden folder of the same volume until it is renamed. A version that is there stays as it is.
set -eu
partial="$MODELS/.partial-fill"
rm -rf "$partial"
mkdir -p "$partial"
${COPY:-rclone copy} "$SOURCE" "$partial"
found=0
for version in "$partial"/*/[0-9]*; do
  [ -f "$version/saved_model.pb" ] || continue
  found=1
  name=$(basename "$(dirname "$version")")
  number=$(basename "$version")
  mkdir -p "$MODELS/$name"
  if [ -e "$MODELS/$name/$number" ]; then
    echo "$name/$number is there"
  else
    mv "$version" "$MODELS/$name/$number"
    echo "$name/$number filled in"
  fi
done
rm -rf "$partial"
[ "$found" = 1 ] || { echo "error: $SOURCE holds no NAME/VERSION/saved_model.pb" >&2; exit 1; }
