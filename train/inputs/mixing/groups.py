"""Mixing of training images in groups of four that come one after the other in the records' order.

The four are decoded and augmented once, and each becomes one image of the batch, made of itself and of the others. So
mixing costs no decoding, and what an image becomes is a function of the seed and its number: of those of a run that
goes on, at most three records are decoded that are not trained on.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from configs.settings.mixing import Mixing
from data_prep.runtime.worker_pool import default_num_processes
from train.inputs.mixing.copy_paste import copy_paste
from train.inputs.mixing.example import Example
from train.inputs.mixing.mixup import mixup
from train.inputs.mixing.mosaic import mosaic
from train.inputs.preparation import Preparation
from train.inputs.randomness import happens, split

GROUP_SIZE = 4
# Each of four calls would be traced and optimized anew otherwise, which took 4 s at the start and not 2.
_once = functools.partial(tf.function, autograph=False, experimental_attributes={"_noinline": True})
_MIXING = 2**20  # what of a record's seed is not for its augmentation, whose steps count from 0

# Each makes one image of the four, of which it is the first: from the group, a seed and its settings.
_Mix = Callable[[Sequence[Example], tf.Tensor, Any], Example]
_STEPS: dict[str, _Mix] = {
    "copy_paste": lambda four, seed, settings: copy_paste(four[0], four[1], seed, settings),
    "mosaic": mosaic,
    "mixup": lambda four, seed, settings: mixup(four[0], four[1], seed, settings),
}


def mix_group(
    examples: Sequence[Example], seeds: Sequence[tf.Tensor], may_mix: Sequence[tf.Tensor], settings: Mixing
) -> list[Example]:
    """Mixes four images with each other, each with its own chances.

    Args:
        examples: `GROUP_SIZE` of them.
        seeds: Each one's, [2] integers.
        may_mix: Each one's, bool scalars; others stay as they are.
        settings: What is done.

    Returns:
        As many.
    """
    mixed = list(examples)
    by_step = [split(seed, len(_STEPS)) for seed in seeds]
    for number, (name, mix) in enumerate(_STEPS.items()):
        step = getattr(settings, name)
        if step is not None:
            perhaps = _perhaps(mix, step)
            groups = [mixed[index:] + mixed[:index] for index in range(GROUP_SIZE)]
            mixed = [perhaps(group, by_step[index][number], may_mix[index]) for index, group in enumerate(groups)]
    return mixed


def _perhaps(mix: _Mix, settings: Any) -> Callable[[Sequence[Example], tf.Tensor, tf.Tensor], Example]:
    """What mixes a group's first image with the others with the probability of the settings; traced once for all."""

    @_once
    def perhaps(group: Sequence[Example], seed: tf.Tensor, may_mix: tf.Tensor) -> Example:
        chance_seed, mix_seed = split(seed, 2)
        mixed = tf.cond(
            may_mix & happens(chance_seed, settings.probability),
            lambda: mix(group, mix_seed, settings),
            lambda: group[0],
        )
        return Example(tf.ensure_shape(mixed.image, [None, None, 3]), mixed.ground_truth)

    return perhaps


def mixed_examples(
    numbered: tf.data.Dataset,
    preparation: Preparation,
    settings: Mixing,
    *,
    end: int,
    is_wanted: Callable[[tf.Tensor], tf.Tensor],
) -> tf.data.Dataset:
    """Prepares records as `Preparation` does, mixing groups of them in between.

    Args:
        numbered: Pairs of a serialised record and its number, int64; the first number is a multiple of `GROUP_SIZE`.
        preparation: Of each record.
        settings: What is mixed.
        end: The number of the first record that is not mixed any more.
        is_wanted: Tells for numbers, int64 [N], which are to come out: bool [N]. Groups of which none is are not
            decoded.

    Returns:
        A dataset of images and labels.
    """

    def prepare_group(records: tf.Tensor, numbers: tf.Tensor) -> tuple[Any, ...]:
        count = tf.shape(numbers)[0]
        # The last group may have fewer than four: the first ones stand in, unmixed, and are left out.
        rows = tf.range(GROUP_SIZE) % count
        records, numbers = (tf.unstack(tf.gather(values, rows), GROUP_SIZE) for values in (records, numbers))
        augment, finish = _once(preparation.augment), _once(preparation.finish)
        augmented = [augment(record, number) for record, number in zip(records, numbers, strict=True)]
        mixed = mix_group(
            [Example(_as_float(one.example.image), one.example.ground_truth) for one in augmented],
            [tf.random.fold_in(preparation.seed_of(number), _MIXING) for number in numbers],
            [tf.equal(count, GROUP_SIZE) & (number < end) for number in numbers],
            settings,
        )
        return tuple(
            (finish(example, one.of_record), is_wanted(number) & (index < count))
            for index, (example, one, number) in enumerate(zip(mixed, augmented, numbers, strict=True))
        )

    def one_by_one(*members: Any) -> tf.data.Dataset:
        return functools.reduce(tf.data.Dataset.concatenate, map(tf.data.Dataset.from_tensors, members))

    groups = numbered.batch(GROUP_SIZE).filter(lambda records, numbers: tf.reduce_any(is_wanted(numbers)))
    prepared = groups.map(
        tf.autograph.experimental.do_not_convert(prepare_group),
        num_parallel_calls=default_num_processes(),
        deterministic=True,
    )
    members = prepared.flat_map(one_by_one).filter(lambda example, is_ours: is_ours)
    return members.map(lambda example, is_ours: example)


def _as_float(image: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.cast(image, tf.float32), [None, None, 3])
