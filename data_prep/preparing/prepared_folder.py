"""The folder that a preparation fills: which file lies where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_prep.formats.label_map import LABEL_MAP_NAME
from data_prep.records.manifest import manifest_path

TRAIN, VALIDATION, TEST = "train", "validation", "test"  # of which a config wants the first two


@dataclass(frozen=True)
class PreparedFolder:
    """An output directory.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def metadata(self) -> Path:
        """What a release has of CSVs."""
        return self.path / "metadata"

    @property
    def label_map(self) -> Path:
        """The classes' ids and names."""
        return self.path / LABEL_MAP_NAME

    @property
    def pipeline_config(self) -> Path:
        """The filled recipe."""
        return self.path / "pipeline.config"

    @property
    def model(self) -> Path:
        """Where a training would go."""
        return self.path / "model"

    def split(self, name: str) -> PreparedSplit:
        """Returns the files of a split."""
        return PreparedSplit(self.path, name)


@dataclass(frozen=True)
class PreparedSplit:
    """The files of one split.

    Attributes:
        folder: The output directory.
        name: Such as `train`.
    """

    folder: Path
    name: str

    @property
    def all_points(self) -> Path:
        """Points before a part of them is chosen."""
        return self.folder / f"{self.name}.all.points.json"

    @property
    def all_images(self) -> Path:
        """The list of images before a part of them is chosen."""
        return self.folder / f"{self.name}.all.images.json"

    @property
    def points(self) -> Path:
        """What is on each image."""
        return self.folder / f"{self.name}.points.json"

    @property
    def images(self) -> Path:
        """What to fetch."""
        return self.folder / f"{self.name}.images.json"

    @property
    def clean_points(self) -> Path:
        """The points whose image is sound."""
        return self.folder / f"{self.name}.clean.json"

    @property
    def image_directory(self) -> Path:
        """The images."""
        return self.folder / "images" / self.name

    @property
    def record(self) -> Path:
        """What the shards' names begin with."""
        return self.folder / f"{self.name}.record"

    @property
    def manifest(self) -> Path:
        """What says what is in the shards."""
        return manifest_path(self.record)
