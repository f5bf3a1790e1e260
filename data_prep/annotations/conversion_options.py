"""Options of a conversion of annotations, and the counts of what it read, kept and left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.annotations.frame import BoxesAreOf
from data_prep.annotations.image_folder import Placing
from data_prep.annotations.image_list import ImageList

DEFAULT_MAX_OVERHANG = 0.02


@dataclass(frozen=True)
class Options:
    """Options of a conversion.

    Attributes:
        image_directory: Holds the images whose folder no reader knows; None trusts the annotations' sizes.
        placing_directory: Where images go under their ids; None leaves them.
        placing: How they go there.
        ids_with_folders: Whether the folders in an image's name count for its id.
        max_overhang: How far a box may stick out of its image, as a share of its side, and be cut; beyond it is
            rejected.
        wanted: The images to take; None takes all.
        boxes_are_of: Whether boxes were drawn on the images as EXIF turns them, or as they are stored.
        with_images_of_rejected_boxes: Whether an image whose boxes were all rejected is kept, as one without objects.
        unites_entries: Whether the boxes of an image that is listed several times are united, for which all images are
            held in memory; otherwise all but its first entry are rejected.
    """

    image_directory: Path | None = None
    placing_directory: Path | None = None
    placing: Placing = "link"
    ids_with_folders: bool = True
    max_overhang: float = DEFAULT_MAX_OVERHANG
    wanted: ImageList | None = None
    boxes_are_of: BoxesAreOf = "shown"
    with_images_of_rejected_boxes: bool = False
    unites_entries: bool = False


@dataclass
class Summary:
    """Counts of the images and boxes that were read, by result.

    Attributes:
        images_read: Images.
        images_not_wanted: Of these, left out because a list does not name them.
        images_united: Entries of images that an earlier entry was of, united with that.
        images_kept: Written to points.
        images_without_boxes: Of these.
        images_of_rejected_boxes: Images whose boxes were all rejected, dropped or kept as `Options` say.
        boxes_read: Boxes of the images wanted.
        boxes_listed_twice: Of these, left out because an earlier entry of the image has the same.
        kept_by_label: Boxes written, by label.
        boxes_cut: Boxes that stuck out a little.
        largest_cut: By how much at most, as a share of the side.
        images_examined: Images whose file was looked at.
        images_scaled: Images of another size than the annotations say, at the same aspect ratio.
        images_turned: Images that their EXIF orientation turns in a viewer.
        images_placed: Images that were put under their ids.
        images_written: Of these, written out of a file of many.
        images_in_place: Images that were there already.
        images_under_other_names: Images whose file is not called ID.jpg (.png, ...).
        renamed: The first image whose id is not its file's name, and that id.
        num_renamed: How many there are.
    """

    images_read: int = 0
    images_not_wanted: int = 0
    images_united: int = 0
    images_kept: int = 0
    images_without_boxes: int = 0
    images_of_rejected_boxes: int = 0
    boxes_read: int = 0
    boxes_listed_twice: int = 0
    kept_by_label: Counter[str] = field(default_factory=Counter)
    boxes_cut: int = 0
    largest_cut: float = 0.0
    images_examined: int = 0
    images_scaled: int = 0
    images_turned: int = 0
    images_placed: int = 0
    images_written: int = 0
    images_in_place: int = 0
    images_under_other_names: int = 0
    renamed: tuple[str, str] | None = None
    num_renamed: int = 0
