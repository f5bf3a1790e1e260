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
    num_groundtruth_boxes_unusable: int32 [B], how many were left out as they cannot be trained on (`record_rules`)
    unusable_box: string [B], a sentence about the first of these; empty where there is none
    groundtruth_class_targets: float32 [B, M, num_classes], 1 for each class of a box, column 0 being label map id 1;
        only in training with `train_config.merge_multiple_label_boxes`
    true_image_shape: int32 [B, 3], of the resized image without its padding
    original_image_shape: int32 [B, 3]
    verified_class_ids: int32 [B, num_classes], classes that a person looked for in the whole image, then zeros; only
        in evaluation
    source_id: string [B]
    sampling_seed: int64 [B, 2], for minibatches of an image's anchors and proposals
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from configs.settings.inputs import InputReader
from configs.settings.pipeline import PipelineSettings
from configs.settings.resizers import ImageResizer
from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.worker_pool import default_num_processes
from train.inputs.augmentations.pipeline import build_augmentation
from train.inputs.class_aware_sampling import ClassSampler, count_classes
from train.inputs.class_labels import VERIFIED_CLASS_IDS, ClassLookup, VerifiedLabelReader
from train.inputs.decode import RecordDecoder
from train.inputs.ground_truth import BOXES
from train.inputs.label_expansion import label_expansion
from train.inputs.manifest_check import check_manifests
from train.inputs.mixing.groups import GROUP_SIZE, mixed_examples
from train.inputs.order_seed import LARGEST_SEED
from train.inputs.preparation import Labels, Preparation
from train.inputs.record_cache import cached_sets
from train.inputs.record_errors import explained_records
from train.inputs.record_order import order_records, read_records
from train.inputs.records import RecordSet, check_filled_in, read_every_record, record_sets
from train.inputs.sharding import shard_input

# More than a run makes, and few enough to be multiplied by a batch size.
_ENDLESS_STEPS = 2**32


def build_training_dataset(
    settings: PipelineSettings,
    *,
    batch_size: int | None = None,
    seed: int | None = None,
    drawn_seed: int | None = None,
    input_context: tf.distribute.InputContext | None = None,
    resume_step: int = 0,
    num_steps: int | None = None,
) -> tf.data.Dataset:
    """Returns shuffled, augmented batches, without end unless `train_input_reader.num_epochs` sets one.

    Order and augmentation of a record are functions of the seed, the epoch and the place in it: a dataset with a
    `resume_step` gives, bit for bit, what one without gives from that step on. Records up to there are not decoded,
    and read only where `record_order` says.

    Args:
        settings: Of the whole config, which has a `train_input_reader`.
        batch_size: Over all replicas, of whose number it is a multiple; by default `train_config.batch_size`.
        seed: Gives the same batches each time, on however many workers; None: those of `drawn_seed`.
        drawn_seed: The seed where the user gives none, so that a resumed run goes on with records that its epoch has
            not had (`order_seed.keep_order_seed`); None draws one. Several workers then divide the files (`sharding`).
        input_context: From `tf.distribute`: the dataset yields batches for one replica, this pipeline's share of them.
        resume_step: How many batches to leave out: the step that training goes on from.
        num_steps: How many batches training is to take in all, for `extensions.mixing.off_for_last_n_steps`; by
            default `train_config.num_steps`.

    Raises:
        UsageError: A part that is needed is not in the config, a path is not filled in or matches nothing, or the
            records do not go with the label map.
        UserError: There are no records; or, with a `resume_step`, they cannot be counted.
    """
    where, reader, train = "train_input_reader", settings.train_input_reader, settings.train_config
    if reader is None:
        raise UsageError(f"{where} is not set, and training needs one")
    if batch_size is None:
        if train is None:
            raise UsageError("train_config is not set, and training needs one")
        batch_size = train.batch_size
    check_manifests(reader, where)
    sets = record_sets(reader, where)
    shard = shard_input(
        input_context,
        min(len(files.paths) for files, _ in sets),
        is_seeded=seed is not None,
        is_endless=not reader.num_epochs,
        is_sampled=settings.extensions.class_aware_sampling is not None,
    )
    sets = cached_sets(shard.sets(sets), settings.extensions.cache, where)
    if all(files.is_empty() for files, _ in sets):
        raise UserError(f"{where}: no record in {sets[0].files.paths[0]} nor in any other of its files; name others")
    if seed is None:
        seed = secrets.randbelow(LARGEST_SEED) if drawn_seed is None else drawn_seed
    # Where files are divided, each pipeline has an order of its own, and counts its own part of the records.
    records_a_step = batch_size // shard.count if shard.by_file else batch_size
    seed = _mix(seed, shard.index) if shard.by_file else seed
    start = resume_step * records_a_step
    mixing = settings.extensions.mixing
    # What is mixed comes in groups.
    first = start - start % math.lcm(GROUP_SIZE, records_a_step) if mixing is not None else start
    records = order_records(
        sets,
        reader,
        num_epochs=reader.num_epochs or None,
        seed=seed,
        start=first,
        sampler=_class_sampler(settings, sets, reader, where, says_so=shard.index == 0),
    )
    num_replicas = input_context.num_replicas_in_sync if input_context is not None else 1
    if reader.num_epochs and num_replicas > 1:  # the last batch must have rows for all of them
        records = records.batch(batch_size, drop_remainder=True).unbatch()
    numbered = tf.data.Dataset.zip((records, tf.data.Dataset.counter(first)))
    preparation = _training_preparation(settings, reader, where, seed)

    def is_wanted(numbers: tf.Tensor) -> tf.Tensor:
        return (numbers >= start) & shard.owns(numbers, batch_size)

    if mixing is not None:
        num_steps = num_steps or (train.num_steps if train is not None else 0)
        off = mixing.off_for_last_n_steps if num_steps else 0
        last_step = num_steps - off if off else _ENDLESS_STEPS
        examples = mixed_examples(numbered, preparation, mixing, end=last_step * records_a_step, is_wanted=is_wanted)
    else:
        if shard.count > 1:
            numbered = numbered.filter(lambda record, number: is_wanted(number))
        examples = _map(numbered, preparation)
    batches = _batches(
        examples,
        batch_size // num_replicas,
        settings.model.image_resizer,
        reader,
        drop_remainder=reader.drop_remainder,
    )
    if reader.num_epochs:
        return batches
    # What TensorFlow does not know to be endless, it has all replicas agree on before each step.
    return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


def _training_preparation(settings: PipelineSettings, reader: InputReader, where: str, seed: int) -> Preparation:
    train, label_map, num_classes = settings.train_config, _label_map(reader, where), settings.model.num_classes
    return Preparation(
        RecordDecoder(
            label_map,
            num_classes,
            is_strict=settings.extensions.strict_records,
            expansion=label_expansion(reader, label_map, num_classes),
        ),
        build_augmentation(
            train.data_augmentation_options if train is not None else (), settings.extensions.augmentation
        ),
        settings.model.image_resizer,
        num_classes=num_classes,
        max_number_of_boxes=settings.max_number_of_training_boxes,
        merge_equal=train is not None and train.merge_multiple_label_boxes,
        seed=seed,
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
    records = read_records(reader, where, num_epochs=1)
    label_map, num_classes = _label_map(reader, where), settings.model.num_classes
    expansion = label_expansion(reader, label_map, num_classes)
    prepare = Preparation(
        RecordDecoder(label_map, num_classes, is_strict=settings.extensions.strict_records, expansion=expansion),
        build_augmentation(()),
        settings.model.image_resizer,
        num_classes=num_classes,
        max_number_of_boxes=reader.max_number_of_boxes,
        merge_equal=False,
        seed=0,
    )
    read_verified_labels = VerifiedLabelReader(label_map, num_classes, expansion=expansion)

    @tf.autograph.experimental.do_not_convert
    def prepare_with_verified_labels(record: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, Labels]:
        image, labels = prepare(record, index)
        return image, {**labels, VERIFIED_CLASS_IDS: read_verified_labels(record)}

    numbered = tf.data.Dataset.zip((records, tf.data.Dataset.counter()))
    examples = _map(numbered, prepare_with_verified_labels)
    return _batches(examples, batch_size, settings.model.image_resizer, reader, drop_remainder=False)


def _class_sampler(
    settings: PipelineSettings, sets: Sequence[RecordSet], reader: InputReader, where: str, *, says_so: bool
) -> ClassSampler | None:
    """What `extensions.class_aware_sampling` asks for; None where it is not set. Of several workers one says so."""
    if settings.extensions.class_aware_sampling is None:
        return None
    max_repeats = settings.extensions.class_aware_sampling.max_repeats
    num_classes = settings.model.num_classes
    label_map = _label_map(reader, where)
    look_up = ClassLookup(label_map, num_classes)
    with explained_records(reader):
        counts = count_classes(read_every_record(sets, reader), look_up, num_classes, where)
    if says_so:
        print(counts.summary(label_map.names_by_id() if label_map is not None else {}, max_repeats), flush=True)
    return ClassSampler(counts, look_up, max_repeats)


def _label_map(reader: InputReader, where: str) -> LabelMap | None:
    if not reader.label_map_path:
        return None
    check_filled_in(reader.label_map_path, f"{where}.label_map_path")
    return read_label_map(reader.label_map_path)


def _map(
    numbered: tf.data.Dataset, prepare: Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, Labels]]
) -> tf.data.Dataset:
    return numbered.map(prepare, num_parallel_calls=default_num_processes(), deterministic=True)


def _batches(
    examples: tf.data.Dataset,
    batch_size: int,
    resizer: ImageResizer,
    reader: InputReader,
    *,
    drop_remainder: bool,
) -> tf.data.Dataset:
    # A batch of 1 is never a remainder; saying so gives models a known batch size.
    drop_remainder = drop_remainder or batch_size == 1
    if batch_size > 1 and None in resizer.static_size:
        batches = _padded_batches(examples, batch_size, drop_remainder)
    else:
        batches = examples.batch(batch_size, drop_remainder=drop_remainder)
    return batches.prefetch(max(reader.num_prefetch_batches, 1))


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
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) % LARGEST_SEED
