"""images.json of each part of a split: entries follow their image, as they were read."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.formats.json_array import encoded_json_array_writer, on_one_line, read_array_items
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.progress import progress


def share_out_images(
    paths: Sequence[Path], part_of_id: Mapping[str, int], output_paths: Sequence[Path]
) -> tuple[list[int], list[str]]:
    """Writes an images.json for each part of the images, entries in the order of the inputs.

    Args:
        paths: One or more images.json; of an id that comes twice, the first entry is taken.
        part_of_id: The part of each wanted image id, an index of `output_paths`.
        output_paths: The file of each part.

    Returns:
        How many entries each part has, and the wanted ids that no input has.

    Raises:
        UsageError: An input cannot be read or is not of the schema.
    """
    counts = [0] * len(output_paths)
    seen: set[str] = set()
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(encoded_json_array_writer(path)) for path in output_paths]
        for path in paths:
            for item in progress(read_array_items(path), description=f"reading {path.name}", unit="images"):
                image_id = item.value.get("id") if isinstance(item.value, dict) else None
                if not isinstance(image_id, str):
                    raise UsageError(f"{path}: item {item.number}: must be an object with an 'id'")
                part = part_of_id.get(image_id)
                if part is None or image_id in seen:
                    continue
                seen.add(image_id)
                writers[part](on_one_line(item.text))
                counts[part] += 1
    return counts, [image_id for image_id in part_of_id if image_id not in seen]
