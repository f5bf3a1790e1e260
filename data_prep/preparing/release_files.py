"""The files of Open Images' releases V4 to V7, and where they are published: the one table of addresses.

The releases share files: a later one publishes anew only what it changes. Sizes and checksums are not given here, as
the server tells them.
"""

from __future__ import annotations

from dataclasses import dataclass

PUBLISHED_AT = "https://storage.googleapis.com/openimages"
# Common Visual Data Foundation's copies, at most 1,024 pixels a side, as SUBSET/ID.jpg.
IMAGES_AT = "https://open-images-dataset.s3.amazonaws.com"

VERSIONS = ("v4", "v5", "v6", "v7")
SPLITS = ("train", "validation", "test")
HIERARCHY = "2018_04/bbox_labels_600_hierarchy.json"

CLASS_DESCRIPTIONS = {
    "v4": "2018_04/class-descriptions-boxable.csv",
    "v5": "v5/class-descriptions-boxable.csv",
    "v6": "v5/class-descriptions-boxable.csv",
    "v7": "v7/oidv7-class-descriptions-boxable.csv",
}
IMAGE_INDEXES = {
    "train": "2018_04/train/train-images-boxable-with-rotation.csv",
    "validation": "2018_04/validation/validation-images-with-rotation.csv",
    "test": "2018_04/test/test-images-with-rotation.csv",
}
_TRAIN_BOXES = {
    "v4": "2018_04/train/train-annotations-bbox.csv",
    "v5": "2018_04/train/train-annotations-bbox.csv",
    "v6": "v6/oidv6-train-annotations-bbox.csv",
    "v7": "v6/oidv6-train-annotations-bbox.csv",
}


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split, each a path below where a release is published.

    Attributes:
        boxes: Annotations.
        image_index: URLs of the images.
        image_labels: Labels of images as a whole that people verified.
    """

    boxes: str
    image_index: str
    image_labels: str


def split_files(version: str, split: str) -> SplitFiles:
    """Returns the files of one of `SPLITS` of one of `VERSIONS`."""
    folder = f"2018_04/{split}" if version == "v4" else "v5"
    boxes = _TRAIN_BOXES[version] if split == "train" else f"{folder}/{split}-annotations-bbox.csv"
    return SplitFiles(boxes, IMAGE_INDEXES[split], f"{folder}/{split}-annotations-human-imagelabels-boxable.csv")
