"""Single images as the model is fed with them, each beside the record that it was made of; for people to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.inputs import InputReader
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings_text
from configs.settings.resizers import KeepAspectRatioResizer
from data_prep.runtime.command_line import UsageError
from train.inputs.ground_truth import AREA, BOXES, CLASSES, DIFFICULT, GROUP_OF, IS_CROWD, WEIGHTS
from train.inputs.reader import build_evaluation_dataset, build_training_dataset
from train.inputs.record_errors import explained_records

LONGER_SIDE_OF_ORIGINALS = 640
# Of the original's boxes, none is to be cut.
_MANY_BOXES = 10_000
# Enough for a mixture, and read in a moment.
_SHUFFLE_BUFFER_SIZE = 512


@dataclasses.dataclass(frozen=True)
class Objects:
    """N objects on an image.

    Attributes:
        boxes: float32 [N, 4], ymin xmin ymax xmax in pixels of the image that they are drawn on.
        classes: int32 [N], label map ids.
        weights: float32 [N].
        is_crowd: bool [N].
        difficult: bool [N].
        group_of: bool [N].
        area: float32 [N], as the record says or in pixels of the record's image; augmentations leave it alone.
    """

    boxes: np.ndarray
    classes: np.ndarray
    weights: np.ndarray
    is_crowd: np.ndarray
    difficult: np.ndarray
    group_of: np.ndarray
    area: np.ndarray

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.boxes)

    def where(self, mask: np.ndarray) -> Objects:
        """Returns the objects for which `mask` (bool [N]) holds."""
        return Objects(*(getattr(self, field.name)[mask] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class InputExample:
    """One image as it goes into the model, and where it comes from.

    Attributes:
        source_id: The record's.
        original: float32 [h, w, 3], the record's image, its longer side scaled to `LONGER_SIDE_OF_ORIGINALS`.
        original_size: Height and width of the record's image, in pixels.
        original_objects: All of the record's, on `original`.
        fed: float32 [H, W, 3], what the model gets, before it normalises the values by itself.
        image_size: Height and width of what is image in `fed`; the rest, at the bottom and the right, is padding.
        fed_objects: On `fed`.
        num_cut: How many more there were than `max_number_of_boxes`.
        num_unknown: How many the record has of classes that the label map does not know.
        num_unusable: How many the record has that cannot be trained on.
    """

    source_id: str
    original: np.ndarray
    original_size: tuple[int, int]
    original_objects: Objects
    fed: np.ndarray
    image_size: tuple[int, int]
    fed_objects: Objects
    num_cut: int
    num_unknown: int
    num_unusable: int = 0

    def is_left(self) -> np.ndarray:
        """Tells which of `original_objects` are among `fed_objects`: bool [N].

        Augmentations hand objects over without a name. They are known again by what no augmentation changes; of objects
        alike in all of that, the first are taken to be those that are left.
        """
        left = np.zeros(len(self.original_objects), bool)
        places: dict[tuple[float, ...], list[int]] = {}
        for index, marks in enumerate(_marks(self.original_objects)):
            places.setdefault(marks, []).append(index)
        for marks in _marks(self.fed_objects):
            if places.get(marks):  # a copy, as of random_self_concat_image, has none left
                left[places[marks].pop(0)] = True
        return left


def read_training_examples(settings: PipelineSettings, count: int, *, seed: int) -> Iterator[InputExample]:
    """Yields images of `train_input_reader`, augmented, each record at most once.

    Args:
        settings: Of the whole config.
        count: How many images; fewer where there are fewer records.
        seed: Of the order and of the augmentations.

    Raises:
        UserError: A path matches nothing, or a record is broken.
    """
    reader, train = settings.train_input_reader, settings.train_config
    if reader is None:
        raise UsageError("train_input_reader is not set")
    buffer_size = min(reader.shuffle_buffer_size, max(_SHUFFLE_BUFFER_SIZE, count))
    reader = reader.with_values(num_epochs=1, shuffle_buffer_size=buffer_size)
    # A few are looked at: no more are to be read.
    settings = dataclasses.replace(settings, extensions=settings.extensions.with_values(cache=None))
    plain = dataclasses.replace(
        _originals(settings),
        extensions=settings.extensions.with_values(mixing=None, augmentation=()),
        train_input_reader=reader.with_values(max_number_of_boxes=_MANY_BOXES),
        train_config=train.with_values(data_augmentation_options=()) if train is not None else None,
    )
    # The same seed gives the same records in the same order.
    yield from _pairs(
        build_training_dataset(dataclasses.replace(settings, train_input_reader=reader), batch_size=1, seed=seed),
        build_training_dataset(plain, batch_size=1, seed=seed),
        count,
        reader,
    )


def read_evaluation_examples(
    settings: PipelineSettings, count: int, *, reader_index: int = 0
) -> Iterator[InputExample]:
    """Yields images of an `eval_input_reader`, which are never augmented.

    Args:
        settings: Of the whole config.
        count: How many images; fewer where there are fewer records.
        reader_index: Which of the readers.

    Raises:
        UserError: A path matches nothing, or a record is broken.
    """
    readers = tuple(reader.with_values(max_number_of_boxes=_MANY_BOXES) for reader in settings.eval_input_reader)
    plain = dataclasses.replace(_originals(settings), eval_input_reader=readers)
    yield from _pairs(
        build_evaluation_dataset(settings, reader_index=reader_index, batch_size=1),
        build_evaluation_dataset(plain, reader_index=reader_index, batch_size=1),
        count,
        readers[reader_index],
    )


def _pairs(fed: tf.data.Dataset, originals: tf.data.Dataset, count: int, reader: InputReader) -> Iterator[InputExample]:
    with explained_records(reader):
        for one, other in tf.data.Dataset.zip((fed, originals)).take(count).as_numpy_iterator():
            yield _example(one, other)


def _example(fed: tuple[Any, Any], original: tuple[Any, Any]) -> InputExample:
    """Puts together what two batches of one image hold."""
    (fed_images, fed_labels), (original_images, original_labels) = fed, original
    source_id = fed_labels["source_id"][0]
    if source_id != original_labels["source_id"][0]:
        raise RuntimeError(f"records came in two orders: {source_id!r}, {original_labels['source_id'][0]!r}")
    height, width = (int(side) for side in original_labels["original_image_shape"][0][:2])
    image_height, image_width = (int(side) for side in fed_labels["true_image_shape"][0][:2])
    return InputExample(
        source_id=source_id.decode("utf-8", "replace"),
        original=original_images[0],
        original_size=(height, width),
        original_objects=_objects(original_images[0], original_labels),
        fed=fed_images[0],
        image_size=(image_height, image_width),
        fed_objects=_objects(fed_images[0], fed_labels),
        num_cut=int(fed_labels["num_groundtruth_boxes_cut"][0]),
        num_unknown=int(fed_labels["num_groundtruth_boxes_unknown"][0]),
        num_unusable=int(fed_labels["num_groundtruth_boxes_unusable"][0]),
    )


def _objects(image: np.ndarray, labels: dict[str, np.ndarray]) -> Objects:
    count = int(labels["num_groundtruth_boxes"][0])
    height, width = image.shape[:2]
    names = (CLASSES, WEIGHTS, IS_CROWD, DIFFICULT, GROUP_OF, AREA)
    boxes = labels[BOXES][0, :count] * np.array([height, width, height, width], np.float32)
    return Objects(boxes, *(labels[name][0, :count] for name in names))


def _marks(objects: Objects) -> list[tuple[float, ...]]:
    """Returns for each object what it is known by again; not its class, which `remap_labels` changes."""
    fields = (objects.area, objects.weights, objects.is_crowd, objects.difficult, objects.group_of)
    return list(zip(*(values.tolist() for values in fields), strict=True))


def _originals(settings: PipelineSettings) -> PipelineSettings:
    """Returns settings that read images whole, in their own proportions."""
    side = LONGER_SIDE_OF_ORIGINALS
    resizer = read_settings_text(KeepAspectRatioResizer, f"min_dimension: {side} max_dimension: {side}")
    return dataclasses.replace(settings, model=dataclasses.replace(settings.model, image_resizer=resizer))
