"""Result files for other programs: JSON lines, CSV, COCO JSON, each written as the answers come."""

from __future__ import annotations

import contextlib
import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from data_prep.formats.label_map import LabelMap
from data_prep.runtime.atomic_files import naming_full_disk, new_temporary_path
from data_prep.runtime.command_line import UsageError
from serving.client_library.detections import TABLE_COLUMNS, ImageDetections


class ResultFile(Protocol):
    """Takes answers one by one; `close` puts the file in its place."""

    def add(self, result: ImageDetections) -> None:
        """Writes one answer."""

    def close(self) -> None:
        """Puts the file in its place, whatever was there before."""


class _GrowingFile:
    """A text file under a temporary name, which `close` renames.

    A run that ends early leaves what was answered until then, as the ledger does: each entry is whole. Where the disk
    is full the last would be torn: the file is removed, and what was there before stays.
    """

    def __init__(self, path: Path) -> None:
        if path.is_dir():  # said now, not when the last answer is in
            raise UsageError(f"{path} is a folder; name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._temporary = new_temporary_path(path)
        # Names of files need not be UTF-8; what is no character is escaped.
        self._file: IO[str] = self._temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="")

    def close(self) -> None:
        """Puts the file in its place, whatever was there before."""
        if not self._file.closed:
            with self._writing():
                self._file.close()
                self._temporary.replace(self.path)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with naming_full_disk(self.path):
                yield
        except OSError:
            with contextlib.suppress(OSError):  # closing writes what is left, which fails again
                self._file.close()
            self._temporary.unlink(missing_ok=True)
            raise


class JsonLinesFile(_GrowingFile):
    """One JSON object an image, failures too: what `--json` prints."""

    def add(self, result: ImageDetections) -> None:
        """Writes one line."""
        with self._writing():
            self._file.write(json.dumps(result.as_json()) + "\n")


class CsvFile(_GrowingFile):
    """One row a detection, boxes in pixels; an image without any has no row."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._writer = csv.writer(self._file)
        self._writer.writerow(TABLE_COLUMNS)

    def add(self, result: ImageDetections) -> None:
        """Writes an image's rows, best score first."""
        with self._writing():
            for *named, score, xmin, ymin, xmax, ymax in result.table_rows():
                self._writer.writerow((*named, f"{score:.6f}", *(f"{side:.2f}" for side in (xmin, ymin, xmax, ymax))))


class CocoFile(_GrowingFile):
    """COCO JSON as annotation tools read it: images, annotations with scores, categories.

    Image ids count the images that were answered, from 1, in their order. Boxes are xmin, ymin, width, height in
    pixels. The list of annotations is also what pycocotools' `loadRes` takes as results.
    """

    def __init__(self, path: Path, label_map: LabelMap | None) -> None:
        """Begins the file.

        Args:
            path: Where.
            label_map: Its classes are the categories, found or not; without it those that were found are.
        """
        super().__init__(path)
        self._images = 0
        self._annotations = 0
        self._categories = label_map.names_by_id() if label_map is not None else {}
        # The images stand after the annotations; until then they wait on the disk, not in memory.
        self._waiting = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - `close` closes it
        self._file.write('{"info": {"description": "detections"}, "licenses": [],\n"annotations": [')

    def add(self, result: ImageDetections) -> None:
        """Writes one image; one without an answer is left out."""
        if result.failure is not None:
            return
        self._images += 1
        image = {"id": self._images, "file_name": result.image, "width": result.width, "height": result.height}
        for detection in result.detections:
            self._categories.setdefault(detection.class_id, detection.name)
        with self._writing():
            with naming_full_disk(tempfile.gettempdir()):
                self._waiting.write(("" if self._images == 1 else ",\n") + json.dumps(image))
            for annotation in result.to_coco(self._images, self._annotations + 1):
                self._annotations += 1
                self._file.write(("\n" if self._annotations == 1 else ",\n") + json.dumps(annotation))

    def close(self) -> None:
        """Writes the images and categories, and puts the file in its place."""
        if self._file.closed:
            return
        with self._writing():
            self._file.write('],\n"images": [\n')
            with naming_full_disk(tempfile.gettempdir()):
                self._waiting.seek(0)  # writes what is left
            while piece := self._waiting.read(1 << 20):
                self._file.write(piece)
            self._waiting.close()
            categories = [{"id": class_id, "name": name} for class_id, name in sorted(self._categories.items())]
            self._file.write(f'],\n"categories": {json.dumps(categories)}}}\n')
        super().close()


class ResultFiles:
    """Files that a person asked for; `with ResultFiles(...) as files:` closes them, also when the work ends early."""

    def __init__(
        self,
        *,
        json_lines_path: Path | None = None,
        csv_path: Path | None = None,
        coco_path: Path | None = None,
        label_map: LabelMap | None = None,
    ) -> None:
        """Begins those files whose path is given; `label_map` names the categories of COCO's."""
        self._files: list[ResultFile] = []
        if json_lines_path is not None:
            self._files.append(JsonLinesFile(json_lines_path))
        if csv_path is not None:
            self._files.append(CsvFile(csv_path))
        if coco_path is not None:
            self._files.append(CocoFile(coco_path, label_map))

    def add(self, result: ImageDetections) -> None:
        """Writes one answer to each."""
        for file in self._files:
            file.add(result)

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.ExitStack() as closing:  # the others also where one fails
            for file in reversed(self._files):
                closing.callback(file.close)
