"""Number of training steps for a number of images, and why it is that many."""

from __future__ import annotations

from dataclasses import dataclass

from data_prep.runtime.command_line import UsageError

MIN_EPOCHS = 16  # what the rooms' recipe takes: from fewer passes, a head that begins at random learns little
MIN_EPOCHS_OF_DETECTOR = 5  # where no weight begins at random: five passes lost 0.003 AP to ten (docs/benchmarks.md)
MAX_EPOCHS = 200  # a small set is known by heart long before
MIN_STEPS = 300
MAX_STEPS = 100_000
_LARGEST = 2**31 - 1  # TensorFlow counts no further in an int32


@dataclass(frozen=True)
class StepCount:
    """A number of steps.

    Attributes:
        steps: From 1.
        why: In words, for the person who may want another.
    """

    steps: int
    why: str


def count_steps(
    *,
    num_images: int,
    batch_size: int,
    recipe_steps: int,
    recipe_batch_size: int,
    starts_as_detector: bool = False,
    num_epochs: float | None = None,
    num_steps: int | None = None,
) -> StepCount:
    """Chooses the number of steps.

    What the caller asks for is taken. Otherwise the recipe's own number is kept, as a number of images seen, where that
    makes `MIN_EPOCHS` (or `MIN_EPOCHS_OF_DETECTOR`) to `MAX_EPOCHS` passes over the images; else the nearer of the two
    is taken, within `MIN_STEPS` and `MAX_STEPS`, of which the recipe may have fewer or more.

    Args:
        num_images: To train on, from 1.
        batch_size: Images a step.
        recipe_steps: The recipe's `num_steps`; 0 where it has none.
        recipe_batch_size: Images a step in the recipe.
        starts_as_detector: Whether training begins with a whole detector's weights, those of its heads among them.
        num_epochs: Passes over the images that are asked for.
        num_steps: Steps that are asked for.

    Raises:
        UsageError: More steps than can be counted.
    """
    if num_steps is not None:
        return _counted(num_steps, f"as asked for, {_passes(num_steps, num_images, batch_size)}")
    if num_epochs is not None:
        steps = -(-num_epochs * num_images // batch_size)
        return _counted(max(1, steps), f"{num_epochs:g} passes over {num_images} images in batches of {batch_size}")
    of_recipe = -(-recipe_steps * recipe_batch_size // batch_size)
    min_epochs = MIN_EPOCHS_OF_DETECTOR if starts_as_detector and of_recipe else MIN_EPOCHS
    least, most = (-(-epochs * num_images // batch_size) for epochs in (min_epochs, MAX_EPOCHS))
    wanted = min(max(of_recipe, least), most) if of_recipe else least
    fewest, largest = min(of_recipe or MIN_STEPS, MIN_STEPS), max(of_recipe, MAX_STEPS)
    steps = min(max(wanted, fewest), largest)
    if steps == of_recipe:
        same = "as the recipe has it" if batch_size == recipe_batch_size else "as many images as in the recipe"
        return _counted(steps, f"{same}, {_passes(steps, num_images, batch_size)}")
    if steps == fewest:
        bound = f", as no fewer than {fewest} steps are taken"
    elif steps == largest:
        bound = f", as no more than {largest} steps are taken"
    else:
        bound = ""
    recipe = f"; the recipe's {recipe_steps} steps are for another number of images" if recipe_steps else ""
    return _counted(steps, f"{_passes(steps, num_images, batch_size)}{bound}{recipe}")


def _counted(steps: float, why: str) -> StepCount:
    if steps > _LARGEST:
        raise UsageError(f"{steps:.12g} training steps are more than can be counted ({_LARGEST}); ask for fewer")
    return StepCount(int(steps), why)


def _passes(steps: int, num_images: int, batch_size: int) -> str:
    passes = steps * batch_size / num_images
    shown = f"{passes:.0f}" if passes >= 100 else f"{passes:.2g}"
    return f"{shown} passes over {num_images} images in batches of {batch_size}"
