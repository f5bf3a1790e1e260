"""The common input of every format's writer: images with their boxes, and the classes by id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from data_prep.annotations.frame import Frame
from data_prep.annotations.image_folder import ImageFile
from data_prep.annotations.source_image import check_label
from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

ClassNames = Literal["display_name", "name"]

_SWAPPING: Final = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_INVERSE: Final = {6: 8, 8: 6}  # of quarter turns; the other orientations are their own


@dataclass(frozen=True)
class ExportedBox:
    """A box.

    Attributes:
        class_id: Its class in the label map.
        xmin: Left edge, as a share of the image (0..1).
        ymin: Upper edge.
        xmax: Right edge.
        ymax: Lower edge.
        flags: Those of `points.FLAGS` and `points.EXTRA_FLAGS` that are set.
        segment_area: The share of the image (0..1) that the object covers; None where only the box is known.
        confidence: 0..1.
        weight: Of the losses.
    """

    class_id: int
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    flags: frozenset[str] = frozenset()
    segment_area: float | None = None
    confidence: float = 1.0
    weight: float = 1.0


@dataclass(frozen=True)
class ExportedImage:
    """An image.

    Attributes:
        image_id: A plain file name, unique in its set.
        suffix: Of its file, such as `.jpg`.
        width: In pixels, of the image that the boxes relate to.
        height: Likewise.
        boxes: Its boxes.
        content: Its file, or what is in it; None where there is neither.
        num_verified_labels: How many labels of the image as a whole a person verified.
    """

    image_id: str
    suffix: str
    width: int
    height: int
    boxes: tuple[ExportedBox, ...]
    content: ImageFile | bytes | None = None
    num_verified_labels: int = 0

    @property
    def file_name(self) -> str:
        """The image's file name."""
        return self.image_id + self.suffix

    def as_shown(self, orientation: int) -> ExportedImage:
        """Returns the image with its boxes as viewers show it, which turn the stored pixels by an EXIF orientation."""
        if orientation == 1:
            return self
        # The frame that turns from shown to stored pixels, the other way round.
        frame = Frame(1, 1, _INVERSE.get(orientation, orientation))
        boxes = []
        for box in self.boxes:
            xmin, ymin, xmax, ymax = frame.stored(box.xmin, box.ymin, box.xmax, box.ymax)
            boxes.append(replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax))
        width, height = (self.height, self.width) if orientation in _SWAPPING else (self.width, self.height)
        return replace(self, width=width, height=height, boxes=tuple(boxes))


@dataclass(frozen=True)
class ExportedClasses:
    """Classes by label map id, in the order of the ids.

    Attributes:
        names: What other tools shall call each.
    """

    names: dict[int, str]

    @property
    def are_counted_from_one(self) -> bool:
        """Whether the ids are 1, 2, 3 and so on."""
        return list(self.names) == list(range(1, len(self.names) + 1))

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Goes through ids and names."""
        return iter(self.names.items())

    def __len__(self) -> int:
        """Returns how many classes there are."""
        return len(self.names)


def classes_of(label_map: LabelMap, which: ClassNames) -> ExportedClasses:
    """Returns the classes of a label map.

    Args:
        label_map: The label map.
        which: `display_name`, what people read (the name where there is none), or `name`, what annotations carry.

    Raises:
        UsageError: Two classes have one name, or one is no name that other tools could read.
    """
    names: dict[int, str] = {}
    ids: dict[str, int] = {}
    for item in label_map:
        text = item.name if which == "name" else item.display_name or item.name
        try:
            name = check_label(text)
        except RejectedError as error:
            raise UsageError(f"label map: class {item.id} is {error.detail}, which is no name of a class") from error
        if ids.setdefault(name, item.id) != item.id:
            hint = "; --class_names name takes the names that annotations carry" if which == "display_name" else ""
            raise UsageError(f"label map: classes {ids[name]} and {item.id} are both called {name!r}{hint}")
        names[item.id] = name
    return ExportedClasses(names)
