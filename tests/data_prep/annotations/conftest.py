"""Four images: real JPEGs whose objects are blocks of one colour, so that a box can be looked up in pixels."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from data_prep.annotations.conversion import convert
from data_prep.annotations.conversion_options import Options, Summary
from data_prep.annotations.source_image import SourceSet

COLORS = {"red block": (220, 40, 40), "blue block": (40, 60, 220), "green block": (30, 180, 60)}


@dataclass(frozen=True)
class Scene:
    """An image and what is on it.

    Attributes:
        file_name: Its file.
        width: In pixels.
        height: In pixels.
        boxes: Label, xmin, ymin, xmax, ymax in pixels; the right and lower edges are the first pixel outside.
    """

    file_name: str
    width: int
    height: int
    boxes: tuple[tuple[str, int, int, int, int], ...]

    @property
    def stem(self) -> str:
        """The file's name without suffix."""
        return Path(self.file_name).stem

    def draw(self) -> Image.Image:
        """Returns the image."""
        image = Image.new("RGB", (self.width, self.height), (128, 128, 128))
        pen = ImageDraw.Draw(image)
        for label, xmin, ymin, xmax, ymax in self.boxes:
            pen.rectangle((xmin, ymin, xmax - 1, ymax - 1), fill=COLORS[label])
        return image


SCENES = (
    Scene("000001.jpg", 160, 120, (("red block", 16, 8, 64, 56), ("blue block", 80, 40, 160, 120))),
    Scene("street-2.jpg", 90, 150, (("green block", 0, 0, 30, 75),)),
    Scene("empty_3.jpg", 64, 64, ()),
    Scene("img.v2.rf.4.jpg", 200, 100, (("blue block", 150, 25, 190, 75), ("blue block", 10, 10, 60, 90))),
)


@pytest.fixture
def scenes() -> tuple[Scene, ...]:
    """The images, one of them without an object."""
    return SCENES


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """The folder that holds the images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for scene in SCENES:
        scene.draw().save(folder / scene.file_name, quality=95)
    return folder


@dataclass
class Converted:
    """What an import gives, without its files."""

    points: list[dict[str, Any]]
    urls: dict[str, str]
    summary: Summary
    rejected: list[tuple[str, str, str]] = field(default_factory=list)

    def boxes_in_pixels(self, image_id: str, width: int, height: int) -> list[tuple[Any, ...]]:
        """Returns label, xmin, ymin, xmax, ymax of each box of an image."""
        point = next(point for point in self.points if point["id"] == image_id)
        return [
            (
                a["label"],
                *(round(a[k] * n, 6) for k, n in (("x0", width), ("y0", height), ("x1", width), ("y1", height))),
            )
            for a in point["annotations"]
        ]

    @property
    def reasons(self) -> list[str]:
        """Why something was rejected, in the order that it was."""
        return [reason for _, reason, _ in self.rejected]


@pytest.fixture
def converted() -> Callable[..., Converted]:
    """Runs a reader and converts what it gives, as the command does."""

    def run(read: Callable[..., SourceSet], path: Path, options: Options | None = None, **arguments: Any) -> Converted:
        rejected: list[tuple[str, str, str]] = []

        def reject(where: str, reason: str, detail: str) -> None:
            rejected.append((where, reason, detail))

        summary = Summary()
        source = read(path, reject=reject, **arguments)
        pairs = list(convert(source.images, options or Options(), summary, reject))
        points = [point for point, _ in pairs]
        json.dumps(points, allow_nan=False)
        return Converted(points, {point["id"]: url for point, url in pairs if url}, summary, rejected)

    return run


def true_boxes(scene: Scene) -> list[tuple[Any, ...]]:
    """Returns a scene's boxes as `Converted.boxes_in_pixels` does."""
    return [(label, *map(float, box)) for label, *box in scene.boxes]


@pytest.fixture
def agrees_with_scenes() -> Callable[[Converted], None]:
    """Asserts that every image of the scenes is there, in pixels as it was drawn."""

    def check(result: Converted) -> None:
        assert result.rejected == []
        assert {point["id"] for point in result.points} == {scene.stem for scene in SCENES}
        for scene in SCENES:
            assert result.boxes_in_pixels(scene.stem, scene.width, scene.height) == true_boxes(scene), scene.file_name

    return check
