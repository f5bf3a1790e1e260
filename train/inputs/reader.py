"""Batches for training and for evaluation, from the records that a pipeline config names.

A batch is a pair of images and labels.

images: float32 [B, H, W, 3], RGB, 0..255, resized by the model's `image_resizer` and padded at the bottom and the
right; not normalised, which is the model's part. Where the resizer gives every image a size of its own, all are
padded with zeros to the largest height and width in the batch.

labels, with M the reader's or the training's `max_number_of_boxes`:
    groundtruth_boxes: float32 [B, M, 4], ymin xmin ymax xmax in 0..1 of the padded image; 0 where there is no object
    groundtruth_classes: int32 [B, M], label map ids; 0 where there is no object
    groundtruth_weights: float32 [B, M]; 0 where there is no object
    groundtruth_is_crowd, groundtruth_difficult, groundtruth_group_of: bool [B, M]
    groundtruth_area: float32 [B, M], in pixels of the original image
    num_groundtruth_boxes: int32 [B]
    num_groundtruth_boxes_cut: int32 [B], how many more there were than M
    num_groundtruth_boxes_unknown: int32 [B], how many were left out for a class' name that the label map does not have
    groundtruth_class_targets: float32 [B, M, num_classes], 1 for each class of a box, column 0 being label map id 1;
        only in training with `train_config.merge_multiple_label_boxes`
    true_image_shape: int32 [B, 3], of the resized image without its padding
    original_image_shape: int32 [B, 3]
    verified_class_ids: int32 [B, num_classes], classes that a person looked for in the whole image, then zeros; only
        in evaluation
    source_id: string [B]
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from configs.settings.inputs import InputReader
from configs.settings.pipeline import PipelineSettings
from configs.settings.resizers import ImageResizer
from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.worker_pool import default_num_processes
from train.inputs.augmentations.pipeline import Augment, build_augmentation
from train.inputs.class_aware_sampling import count_classes, repeat_by_class
from train.inputs.class_labels import VERIFIED_CLASS_IDS, ClassLookup, VerifiedLabelReader
from train.inputs.decode import RecordDecoder
from train.inputs.ground_truth import BOXES, DTYPES, GroundTruth, first, merge_equal_boxes, with_boxes
from train.inputs.manifest_check import check_manifests
from train.inputs.records import Transform, check_filled_in, read_every_record, read_records
from train.inputs.resize import resize_image

Labels = dict[str, tf.Tensor]

_LARGEST_SEED = 2**31 - 1


def build_training_dataset(
    settings: PipelineSettings,
    *,
    batch_size: int | None = None,
    seed: int | None = None,
    input_context: tf.distribute.InputContext | None = None,
    resume_step: int = 0,
) -> tf.data.Dataset:
    """Returns shuffled, augmented batches, without end unless `train_input_reader.num_epochs` sets one.

    Args:
        settings: Of the whole config, which has a `train_input_reader`.
        batch_size: Over all replicas; by default `train_config.batch_size`.
        seed: Gives the same batches each time, for a price in speed; None gives others each time.
        input_context: From `tf.distribute`: this pipeline yields its replica's share of the batch and of the records.
        resume_step: The step that training goes on from: with a `seed`, another order than from step 0, so that a
            resumed run does not see the first records twice.

    Raises:
        UsageError: A part that is needed is not in the config, a path is not filled in or matches nothing, or the
            records do not go with the label map.
    """
    where, reader, train = "train_input_reader", settings.train_input_reader, settings.train_config
    if reader is None:
        raise UsageError(f"{where} is not set, and training needs one")
    if batch_size is None:
        if train is None:
            raise UsageError("train_config is not set, and training needs one")
        batch_size = train.batch_size
    if input_context is not None:
        batch_size = input_context.get_per_replica_batch_size(batch_size)
    check_manifests(reader, where)
    pipeline = input_context.input_pipeline_id if input_context is not None else 0
    mixed_seed = None if seed is None else _mix(seed, resume_step, pipeline)
    records = read_records(
        reader,
        where,
        num_epochs=reader.num_epochs or None,
        seed=mixed_seed,
        input_context=input_context,
        repeat_some=_class_aware_sampling(settings, reader, where, mixed_seed),
    )
    resizer = settings.model.image_resizer
    prepare = _preparer(
        reader,
        where,
        resizer=resizer,
        num_classes=settings.model.num_classes,
        augment=build_augmentation(
            train.data_augmentation_options if train is not None else (), settings.extensions.augmentation
        ),
        max_number_of_boxes=settings.max_number_of_training_boxes,
        merge_equal=train is not None and train.merge_multiple_label_boxes,
        seed=secrets.randbelow(_LARGEST_SEED) if mixed_seed is None else mixed_seed,
    )
    return _batches(
        records,
        prepare,
        batch_size,
        resizer,
        reader,
        drop_remainder=reader.drop_remainder,
        deterministic=seed is not None,
    )


def build_evaluation_dataset(
    settings: PipelineSettings, *, reader_index: int = 0, batch_size: int | None = None
) -> tf.data.Dataset:
    """Returns each record of an evaluation reader once, in the same order each time, without augmentation.

    The last batch may be smaller. `num_epochs` and `drop_remainder` do not apply: either would falsify the metrics.

    Args:
        settings: Of the whole config.
        reader_index: Which of the config's `eval_input_reader`s.
        batch_size: By default `eval_config.batch_size`.

    Raises:
        UsageError: A part that is needed is not in the config, a path is not filled in or matches nothing, or the
            records do not go with the label map.
    """
    readers = settings.eval_input_reader
    if not 0 <= reader_index < len(readers):
        raise UsageError(f"eval_input_reader[{reader_index}] is not in the config, which has {len(readers)} of them")
    where, reader = f"eval_input_reader[{reader_index}]", readers[reader_index]
    if batch_size is None:
        batch_size = settings.eval_config.batch_size
    check_manifests(reader, where)
    records = read_records(reader, where, num_epochs=1, seed=0)
    resizer, num_classes = settings.model.image_resizer, settings.model.num_classes
    prepare = _preparer(
        reader,
        where,
        resizer=resizer,
        num_classes=num_classes,
        augment=build_augmentation(()),
        max_number_of_boxes=reader.max_number_of_boxes,
        merge_equal=False,
        seed=0,
    )
    read_verified_labels = VerifiedLabelReader(_label_map(reader, where), num_classes)

    @tf.autograph.experimental.do_not_convert
    def prepare_with_verified_labels(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Labels]:
        image, labels = prepare(record, index)
        return image, {**labels, VERIFIED_CLASS_IDS: read_verified_labels(record)}

    return _batches(
        records, prepare_with_verified_labels, batch_size, resizer, reader, drop_remainder=False, deterministic=True
    )


def pad_ground_truth(ground_truth: GroundTruth, max_number_of_boxes: int) -> Labels:
    """Brings an image's objects to a fixed number: those beyond it are left out, missing ones are zeros.

    Args:
        ground_truth: N objects.
        max_number_of_boxes: M.

    Returns:
        The same fields, each [M, ...], with `num_groundtruth_boxes` and `num_groundtruth_boxes_cut` (int32 scalars).
    """
    count = tf.shape(ground_truth[BOXES])[0]
    kept = tf.minimum(count, max_number_of_boxes)
    labels: Labels = {}
    for name, values in first(ground_truth, max_number_of_boxes).items():
        paddings = [[0, max_number_of_boxes - kept]] + [[0, 0]] * (values.shape.rank - 1)
        padded = tf.pad(tf.cast(values, DTYPES.get(name, values.dtype)), paddings)
        padded.set_shape([max_number_of_boxes, *values.shape[1:]])
        labels[name] = padded
    labels["num_groundtruth_boxes"] = kept
    labels["num_groundtruth_boxes_cut"] = count - kept
    return labels


def _class_aware_sampling(
    settings: PipelineSettings, reader: InputReader, where: str, seed: int | None
) -> Transform | None:
    """The sampling of each pass over the records by `extensions.class_aware_sampling`; None where it is not set."""
    if settings.extensions.class_aware_sampling is None:
        return None
    max_repeats = settings.extensions.class_aware_sampling.max_repeats
    num_classes = settings.model.num_classes
    label_map = _label_map(reader, where)
    look_up = ClassLookup(label_map, num_classes)
    counts = count_classes(read_every_record(reader, where), look_up, num_classes, where)
    print(counts.summary(label_map.names_by_id() if label_map is not None else {}, max_repeats), flush=True)
    return repeat_by_class(counts, look_up, max_repeats, seed)


def _label_map(reader: InputReader, where: str) -> LabelMap | None:
    if not reader.label_map_path:
        return None
    check_filled_in(reader.label_map_path, f"{where}.label_map_path")
    return read_label_map(reader.label_map_path)


def _preparer(
    reader: InputReader,
    where: str,
    *,
    resizer: ImageResizer,
    num_classes: int,
    augment: Augment,
    max_number_of_boxes: int,
    merge_equal: bool,
    seed: int,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, Labels]]:
    """Returns what turns one record and its number into one image and its labels."""
    decode = RecordDecoder(_label_map(reader, where), num_classes)

    @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes TensorFlow a second to find out
    def prepare(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Labels]:
        decoded = decode(record, index)
        image, ground_truth = augment(
            decoded.image, decoded.ground_truth, tf.stack([tf.constant(seed, tf.int64), index])
        )
        image, true_image_shape = resize_image(image, resizer)
        # From relative to the image to relative to the padded image.
        of_padded = tf.cast(true_image_shape[:2], tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
        ground_truth = with_boxes(ground_truth, ground_truth[BOXES] * tf.tile(of_padded, [2]))
        if merge_equal:
            ground_truth = merge_equal_boxes(ground_truth, num_classes)
        labels = pad_ground_truth(ground_truth, max_number_of_boxes)
        labels["num_groundtruth_boxes_unknown"] = decoded.num_unknown
        labels["true_image_shape"] = true_image_shape
        labels["original_image_shape"] = tf.shape(decoded.image)
        labels["source_id"] = decoded.source_id
        return image, labels

    return prepare


def _batches(
    records: tf.data.Dataset,
    prepare: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, Labels]],
    batch_size: int,
    resizer: ImageResizer,
    reader: InputReader,
    *,
    drop_remainder: bool,
    deterministic: bool,
) -> tf.data.Dataset:
    numbered = tf.data.Dataset.zip((records, tf.data.Dataset.counter()))
    examples = numbered.map(prepare, num_parallel_calls=default_num_processes(), deterministic=deterministic)
    # A batch of 1 is never a remainder; saying so gives models a known batch size.
    drop_remainder = drop_remainder or batch_size == 1
    if batch_size > 1 and None in resizer.static_size:
        batches = _padded_batches(examples, batch_size, drop_remainder)
    else:
        batches = examples.batch(batch_size, drop_remainder=drop_remainder)
    options = tf.data.Options()
    options.deterministic = deterministic
    return batches.with_options(options).prefetch(max(reader.num_prefetch_batches, 1))


def _padded_batches(examples: tf.data.Dataset, batch_size: int, drop_remainder: bool) -> tf.data.Dataset:
    """Batches images of different sizes, each padded to the largest; boxes are then relative to that."""

    def with_size(image: tf.Tensor, labels: Labels) -> tuple[tf.Tensor, Labels, tf.Tensor]:
        return image, labels, tf.shape(image)[:2]

    def to_batch(images: tf.Tensor, labels: Labels, sizes: tf.Tensor) -> tuple[tf.Tensor, Labels]:
        share = tf.cast(sizes, tf.float32) / tf.cast(tf.shape(images)[1:3], tf.float32)
        return images, {**labels, BOXES: labels[BOXES] * tf.tile(share, [1, 2])[:, tf.newaxis]}

    return examples.map(with_size).padded_batch(batch_size, drop_remainder=drop_remainder).map(to_batch)


def _mix(*numbers: int) -> int:
    """Returns one seed made from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) % _LARGEST_SEED
