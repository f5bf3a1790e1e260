"""The columns of a data set that is looked at: images and boxes, from wherever they come."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from data_prep.records.shard_checks import ShardSummary

# What annotators say of a box, by bit.
OCCLUDED, TRUNCATED, GROUP_OF, DEPICTION, INSIDE, CROWD, DIFFICULT = (1 << bit for bit in range(7))
# What looks wrong with a box.
TINY, HUGE, DUPLICATE, TWO_CLASSES, EXTREME_RATIO, UNUSABLE, NO_ANCHOR = (1 << bit for bit in range(7, 14))
# What looks wrong with an image.
NO_IMAGE, NO_BOXES, MANY_BOXES, SMALL_IMAGE, REPEATED_ID, BAD_RECORD = (1 << bit for bit in range(6))


@dataclass
class DataSet:
    """Images and their boxes, as columns.

    Attributes:
        source: Where they were read from, in words.
        image_ids: [P].
        widths, heights: int32 [P] in pixels; 0 where the size is not known.
        image_flags: uint8 [P], bits such as `NO_IMAGE`.
        boxes: float32 [N, 4], ymin xmin ymax xmax relative to the image; as they are, so perhaps reversed or NaN.
        box_images: int32 [N], rows of `image_ids`, ascending.
        box_classes: int32 [N], rows of `labels`.
        box_flags: uint16 [N], bits such as `OCCLUDED` and `TINY`.
        labels: [C], what annotations call the classes.
        names: [C], what people call them.
        verified_present, verified_absent: Images of which a person said so as a whole, by row of `labels`.
        places: Where each image lies, for the thumbnails: (shard, record) for records, empty for points.
        checked: What `verify_tfrecords` would report of the records; None for points.
    """

    source: str
    image_ids: list[str]
    widths: npt.NDArray[np.int32]
    heights: npt.NDArray[np.int32]
    image_flags: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    box_images: npt.NDArray[np.int32]
    box_classes: npt.NDArray[np.int32]
    box_flags: npt.NDArray[np.uint16]
    labels: list[str]
    names: list[str]
    verified_present: Counter[int] = field(default_factory=Counter)
    verified_absent: Counter[int] = field(default_factory=Counter)
    places: list[tuple[str, int]] = field(default_factory=list)
    checked: ShardSummary | None = None

    @property
    def num_images(self) -> int:
        """P."""
        return len(self.image_ids)

    @property
    def num_boxes(self) -> int:
        """N."""
        return len(self.boxes)

    @property
    def box_offsets(self) -> npt.NDArray[np.int64]:
        """int64 [P + 1]: the boxes of image p are the rows from offset p up to offset p + 1."""
        return np.searchsorted(self.box_images, np.arange(self.num_images + 1))

    def clipped_boxes(self) -> npt.NDArray[np.float32]:
        """float32 [N, 4], ymin xmin ymax xmax, within 0..1; NaN becomes 0, and a reversed box is turned round."""
        boxes = np.clip(np.nan_to_num(self.boxes, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        return np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)

    def box_sides(self) -> npt.NDArray[np.float32]:
        """float32 [N, 2], height and width of each box in pixels of its image; NaN where its size is not known."""
        boxes = self.clipped_boxes()
        sizes = np.stack([self.heights, self.widths], axis=1).astype(np.float32)
        sizes[sizes == 0] = np.nan
        return (boxes[:, 2:] - boxes[:, :2]) * sizes[self.box_images]


class DataSetBuilder:
    """Collects a data set image by image, at a few bytes a box."""

    def __init__(self, names: Mapping[str, str], *, lists_all: bool) -> None:
        """Begins.

        Args:
            names: What people call the classes, by label; a label that is not in it is its own name.
            lists_all: Whether classes without a box belong to the data set too.
        """
        self._names = names
        self._classes: dict[str, int] = {}
        if lists_all:
            self._classes = {label: row for row, label in enumerate(names)}
        self._ids: list[str] = []
        self._places: list[tuple[str, int]] = []
        self._sizes = array("i")
        self._image_flags = array("B")
        self._boxes = array("f")
        self._box_columns = array("i")
        self._present: Counter[int] = Counter()
        self._absent: Counter[int] = Counter()

    def add_image(
        self, image_id: str, *, width: int = 0, height: int = 0, flags: int = 0, place: tuple[str, int] | None = None
    ) -> None:
        """Adds an image, to which the boxes added next belong."""
        self._ids.append(image_id)
        self._sizes.extend((height, width))
        self._image_flags.append(flags)
        if place is not None:
            self._places.append(place)

    def add_box(self, label: str, box: tuple[float, float, float, float], flags: int) -> None:
        """Adds a box of the latest image: ymin, xmin, ymax, xmax, relative to it."""
        self._boxes.extend(box)
        self._box_columns.extend((len(self._ids) - 1, self._row_of(label), flags))

    def add_verified_label(self, label: str, *, is_present: bool) -> None:
        """Adds what a person said of the latest image as a whole."""
        counts = self._present if is_present else self._absent
        counts[self._row_of(label)] += 1

    def finish(self, source: str) -> DataSet:
        """Returns the data set."""
        sizes = np.array(self._sizes, np.int32).reshape(-1, 2)
        columns = np.array(self._box_columns, np.int32).reshape(-1, 3)
        labels = list(self._classes)
        return DataSet(
            source=source,
            image_ids=self._ids,
            widths=sizes[:, 1],
            heights=sizes[:, 0],
            image_flags=np.array(self._image_flags, np.uint8),
            boxes=np.array(self._boxes, np.float32).reshape(-1, 4),
            box_images=columns[:, 0],
            box_classes=columns[:, 1],
            box_flags=columns[:, 2].astype(np.uint16),
            labels=labels,
            names=[self._names.get(label) or label for label in labels],
            verified_present=self._present,
            verified_absent=self._absent,
            places=self._places,
        )

    def _row_of(self, label: str) -> int:
        return self._classes.setdefault(label, len(self._classes))
