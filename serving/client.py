"""Asks a served detector about images and shows, writes or draws what it found."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.images.image_file import ImageError
from data_prep.runtime.command_line import (
    EXIT_FAILED,
    ArgumentParser,
    UserError,
    int_from_zero,
    positive_int,
    printable,
    run_command,
)
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from serving.client_library.client_flags import (
    add_connection_flags,
    add_min_score_flag,
    add_model_flags,
    add_retry_flags,
    add_shrink_flags,
    client_settings_of,
    connection_of,
    min_score_of,
    shrink_of,
)
from serving.client_library.detection_client import DetectionClient
from serving.client_library.detections import ImageDetections
from serving.client_library.drawn_images import DrawnImages
from serving.client_library.image_requests import find_images
from serving.client_library.result_files import ResultFiles

DESCRIPTION = """Asks a served detector what is in images: a table, JSON lines, or images with the boxes drawn.

Boxes are those of the pixels as they are stored; an EXIF orientation is not applied, as in training."""
EXAMPLE = """  python -m serving.client --server localhost:8500 --model_name detector \\
      --label_map_path label_map.pbtxt photos/ --output_directory drawn
  python -m serving.client --model_name detector --label_map_path label_map.pbtxt photo.jpg --json | jq .detections"""
MAX_IMAGE_WIDTH = 60
MAX_NAME_WIDTH = 32
NOTHING = "(nothing found)"


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="images, or folders of .jpg, .jpeg and .png")
    add_connection_flags(parser)
    add_model_flags(parser)
    add_retry_flags(parser)
    parser.add_argument("--label_map_path", type=Path, help="names the classes; without it they are numbers")
    add_shrink_flags(parser)
    add_min_score_flag(parser, "detections below it are left out")
    parser.add_argument("--output_directory", type=Path, help="where to write the images with boxes and names drawn")
    parser.add_argument("--json", action="store_true", help="one JSON object an image on standard output, no table")
    parser.add_argument("--json_lines_path", type=Path, help="the same into a file, whatever is printed")
    parser.add_argument("--csv_path", type=Path, help="a file with one row a detection, boxes in pixels")
    parser.add_argument(
        "--coco_path", type=Path, help="a file of COCO JSON: images, annotations with scores, categories"
    )
    parser.add_argument(
        "--extra_output",
        action="append",
        default=[],
        metavar="NAME",
        help="a further output of the model to ask for and to put into the JSON lines; repeatable",
    )
    parser.add_argument("--max_in_flight", type=positive_int, default=4, help="requests on their way at the same time")
    parser.add_argument(
        "--batch_size", type=positive_int, default=1, help="images in a request, where the model takes several"
    )
    parser.add_argument("--ledger_path", type=Path, help="JSON lines that name each image that failed, and why")
    parser.add_argument(
        "--max_failures", type=int_from_zero, default=0, help="with more images failed than this, the exit code is 3"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Asks about the images; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode shows class names escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    images = find_images(arguments.images)
    label_map = read_label_map(arguments.label_map_path) if arguments.label_map_path is not None else None
    connection = connection_of(arguments)
    if connection.sends_metadata_unencrypted:
        print(f"warning: metadata goes to {connection.server} unencrypted; see --tls, --ca_file", file=sys.stderr)
    client = DetectionClient(
        connection,
        arguments.model_name,
        label_map=label_map,
        extra_outputs=arguments.extra_output,
        min_score=min_score_of(arguments),
        max_in_flight=arguments.max_in_flight,
        batch_size=arguments.batch_size,
        shrink=shrink_of(arguments),
        **client_settings_of(arguments),
    )
    with client, Ledger(arguments.ledger_path) as ledger:
        client.connect()
        with ResultFiles(
            json_lines_path=arguments.json_lines_path,
            csv_path=arguments.csv_path,
            coco_path=arguments.coco_path,
            label_map=label_map,
        ) as files:
            report = _Report(arguments, images, label_map, ledger, files)
            _ask(client, images, report)
    report.end(client.counts.retries)
    if report.answered == 0:
        print(f"error: none of the {len(images)} images was answered", file=sys.stderr)
        return EXIT_FAILED
    return ledger.exit_code(arguments.max_failures)


def _ask(client: DetectionClient, images: list[Path], report: _Report) -> None:
    """Asks about all images; where the server cannot be asked any more, the rest are said not to be answered."""
    report.begin()
    answers: Iterable[ImageDetections] = client.detect_many(images)
    if len(images) > 1 and not sys.stdout.isatty():  # a terminal sees the answers themselves
        answers = progress(answers, description="asking", total=len(images), unit="images")
    try:
        for result in answers:
            report.add(result)
    except UserError as error:
        report.give_up(str(error))
        raise UserError(f"{error} (answered until then: {report.answered} of {len(images)} images)") from error


class _Report:
    """Shows each answer as it comes, and the counts at the end."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        images: list[Path],
        label_map: LabelMap | None,
        ledger: Ledger,
        files: ResultFiles,
    ) -> None:
        self.answered = 0
        self._seen = 0
        self._images = images
        self._files = files
        self._found = 0
        self._drawn = 0
        self._json = arguments.json
        self._ledger = ledger
        self._drawings = (
            DrawnImages(arguments.output_directory, images) if arguments.output_directory is not None else None
        )
        names = label_map.names_by_id().values() if label_map is not None else ()
        self._table = DetectionsTable(map(str, images), names)

    def begin(self) -> None:
        if not self._json:
            print("\n".join(self._table.header()))

    def add(self, result: ImageDetections) -> None:
        self._seen += 1
        self._files.add(result)
        if result.failure is not None:
            self._fail(result.image, result.failure.reason, result.failure.detail)
        else:
            self.answered += 1
            self._found += len(result.detections)
        entry = result.as_json()
        if result.failure is None and self._drawings is not None:
            try:
                entry["drawn"] = str(self._drawings.write(result))
                self._drawn += 1
            except ImageError as error:
                self._fail(result.image, "cannot be drawn", str(error))
        if self._json:
            print(json.dumps(entry), flush=True)
        elif result.failure is None:
            print("\n".join(self._table.lines(result)), flush=True)

    def give_up(self, why: str) -> None:
        for image in self._images[self._seen :]:
            self._ledger.reject(str(image), "not answered", why)

    def end(self, retries: int) -> None:
        drawn = f", {self._drawn} drawn in {self._drawings.directory}" if self._drawings is not None else ""
        line = f"{self.answered} of {len(self._images)} images answered, {self._found} detections{drawn}; "
        again = f"; {retries} requests sent again" if retries else ""
        print(line + self._ledger.summary() + again, file=sys.stderr if self._json else sys.stdout)

    def _fail(self, image: str, reason: str, detail: str) -> None:
        self._ledger.reject(image, reason, detail)
        print(": ".join(printable(part) for part in (image, reason, detail) if part), file=sys.stderr)


class DetectionsTable:
    """Lays out lines of: image, name, score, and the box in pixels as xmin, ymin, xmax, ymax."""

    def __init__(self, images: Iterable[str], names: Iterable[str]) -> None:
        """Fixes the columns' widths.

        Args:
            images: What will stand in the first column.
            names: What may stand in the second.
        """
        self._image_width = _width((*images, "image"), MAX_IMAGE_WIDTH)
        self._name_width = _width((*names, "name", NOTHING), MAX_NAME_WIDTH)

    def header(self) -> list[str]:
        """Returns the two lines at the top."""
        indent = " " * (self._image_width + 2 + self._name_width + 2 + 6)
        return [f"{indent}box in pixels", self._line("image", "name", "score", ("xmin", "ymin", "xmax", "ymax"))]

    def lines(self, result: ImageDetections) -> list[str]:
        """Returns the lines of one image that was answered, best score first."""
        image = _shortened(result.image, self._image_width)
        if not result.detections:
            return [f"{image:<{self._image_width}}  {NOTHING}"]
        lines = []
        for detection in result.detections:
            box = detection.box_pixels
            sides = tuple(f"{value:.0f}" for value in (box.xmin, box.ymin, box.xmax, box.ymax))
            name = printable(detection.name)
            lines.append(self._line(image, name[: self._name_width], f"{detection.score:.2f}", sides))
        return lines

    def _line(self, image: str, name: str, score: str, sides: tuple[str, ...]) -> str:
        columns = "".join(f"{side:>7}" for side in sides)
        return f"{image:<{self._image_width}}  {name:<{self._name_width}}  {score:>5}{columns}"


def _width(texts: Iterable[str], largest: int) -> int:
    return min(largest, max(len(printable(text)) for text in texts))


def _shortened(text: str, width: int) -> str:
    """Returns `text`, with its beginning left out where it is too long: the end of a path tells more."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[-(width - 1) :]


if __name__ == "__main__":
    run_command(main)
