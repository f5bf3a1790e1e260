"""Tiny Open Images files, and commands run as a shell would."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_prep.runtime.command_line import run_command

BOX_COLUMNS = [
    "ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax",
    "IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside",
]  # fmt: skip
IMAGE_COLUMNS = [
    "ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title",
    "OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation",
]  # fmt: skip
DESCRIPTIONS = {
    "/m/03ssj5": "Bed",
    "/m/07c52": "Television",
    "/m/0dtln": "Lamp",
    "/m/04bcr3": "Table",
    "/m/0h8mzrc": "Wall clock",
}


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Path:
    """Writes `rows` with a header of `columns`; a column that a row lacks stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def box_row(image_id: str = "img1", label: str = "/m/03ssj5", **cells: object) -> dict[str, object]:
    """Returns a good row of a boxes CSV, with `cells` in place of its own."""
    values = [image_id, "xclick", label, 1, 0.1, 0.6, 0.2, 0.9, 0, 1, 0, 0, 0]
    return dict(zip(BOX_COLUMNS, values, strict=True)) | cells


def image_row(image_id: str = "img1", **cells: object) -> dict[str, object]:
    """Returns a good row of an image index, with `cells` in place of its own."""
    return {"ImageID": image_id, "Subset": "train", "OriginalURL": f"http://localhost/{image_id}.jpg"} | cells


@dataclass(frozen=True)
class OpenImagesFiles:
    """The files of a split of three images with four boxes."""

    boxes: Path
    index: Path
    descriptions: Path
    folder: Path

    def words(self, *more: object) -> tuple[object, ...]:
        """Returns a good command line of process_metadata, with `more` at its end."""
        return (
            *("--annotations_input_path", self.boxes, "--image_index_input_path", self.index),
            *("--point_output_path", self.folder / "points.json"),
            *("--image_index_output_path", self.folder / "images.json"),
            *("--class_description_path", self.descriptions, *more),
        )


@pytest.fixture
def open_images_files(tmp_path: Path) -> OpenImagesFiles:
    """Three images, of which img2 has no box, listed in another order than their boxes."""
    boxes = [
        box_row("img1", "/m/03ssj5"),
        box_row("img3", "/m/07c52", XMin=0, XMax=1, IsOccluded=1, IsTruncated=-1, IsInside=1),
        box_row("img1", "/m/0dtln", YMin=0.25),
        box_row("img3", "/m/03ssj5", IsGroupOf=1, IsDepiction=1),
    ]
    images = [image_row("img3", OriginalSize=7, OriginalMD5="abc==", Rotation="90.0"), image_row("img2"), image_row()]
    descriptions = tmp_path / "class-descriptions-boxable.csv"
    descriptions.write_text("".join(f"{label},{name}\n" for label, name in DESCRIPTIONS.items()), encoding="utf-8")
    return OpenImagesFiles(
        write_csv(tmp_path / "train-annotations-bbox.csv", BOX_COLUMNS, boxes),
        write_csv(tmp_path / "train-images.csv", IMAGE_COLUMNS, images),
        descriptions,
        tmp_path,
    )


@dataclass(frozen=True)
class Outcome:
    """What a command left on the terminal."""

    code: int
    output: str
    error: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command's `main` with words, as a shell would, and returns its exit code and what it printed."""

    def run_main(main: Callable[[Sequence[str] | None], int], *words: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run_command(main, [str(word) for word in words])
        captured = capsys.readouterr()
        code = stopped.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run_main
