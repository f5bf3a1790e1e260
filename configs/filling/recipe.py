"""A recipe filled in: classes, paths, steps and all that counts in steps, for records that a manifest tells of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.filling.changes import Change, changed_text, place_of
from configs.filling.schedule_steps import steps_of_recipe, stretched
from configs.filling.step_count import count_steps
from configs.schema.fields import unfilled_paths
from configs.schema.pipeline_file import parse_pipeline_config
from configs.schema.problem import ConfigError
from data_prep.formats.label_map import LabelMap
from data_prep.formats.shard_names import refuse_pattern
from data_prep.records.manifest import SUFFIX, Manifest, class_differences, read_manifest
from data_prep.runtime.command_line import UsageError

FROM_SCRATCH = "none"
_FINE_TUNING = (
    "fine_tune_checkpoint", "fine_tune_checkpoint_type", "fine_tune_checkpoint_version", "from_detection_checkpoint",
)  # fmt: skip
CHECKPOINT = f"train_config.{_FINE_TUNING[0]}"


@dataclass(frozen=True)
class RecordSource:
    """Records of one split.

    Attributes:
        pattern: A glob that names all of its files and no other.
        num_images: From 1.
    """

    pattern: str
    num_images: int


@dataclass(frozen=True)
class Wishes:
    """What a person may want otherwise than the recipe.

    Attributes:
        num_epochs: Passes over the training images; None: as `count_steps` chooses.
        num_steps: In place of those.
        batch_size: Images a step of training; None: as the recipe has it.
        fine_tune_checkpoint: Where training starts from; `none` for nothing; None: as the recipe has it.
    """

    num_epochs: float | None = None
    num_steps: int | None = None
    batch_size: int | None = None
    fine_tune_checkpoint: str | None = None


@dataclass(frozen=True)
class FilledRecipe:
    """A filled recipe.

    Attributes:
        text: With the recipe's comments, its header among them.
        config: The same as a `TrainEvalPipelineConfig`.
        lines: What was filled in, for people.
        unfilled: Paths of fields that still hold PATH_TO_BE_CONFIGURED.
    """

    text: str
    config: Any
    lines: tuple[str, ...]
    unfilled: tuple[str, ...]


def read_records(path: Path, label_map: LabelMap) -> RecordSource:
    """Reads a manifest.

    Args:
        path: What `make_tfrecords` wrote beside the shards.
        label_map: What the config is to name; its classes are held against those of the records.

    Raises:
        UsageError: There is none, or no record, or one of the classes has another id, or the folder's name is a glob.
        UserError: It is no manifest.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise UsageError(f"{path}: no such file; data_prep.make_tfrecords writes it beside the records, as *{SUFFIX}")
    _check_classes(path, manifest, label_map)
    num_images = manifest.total().num_images
    if not num_images:
        raise UsageError(f"{path}: the records hold no image; there is nothing to train or evaluate on")
    refuse_pattern(path.parent)
    is_one_file = [shard.name for shard in manifest.shards] == [manifest.name]
    name = manifest.name if is_one_file else f"{manifest.name}-?????-of-{len(manifest.shards):05d}"
    return RecordSource(str(path.with_name(name)), num_images)


def fill_recipe(
    text: str,
    where: str,
    *,
    label_map: LabelMap,
    label_map_path: str,
    training: RecordSource,
    validation: RecordSource,
    wishes: Wishes,
) -> FilledRecipe:
    """Fills a recipe in, or any pipeline config; what its paths were does not matter.

    Args:
        text: The recipe's.
        where: What to call it in errors.
        label_map: Its largest id is the number of classes.
        label_map_path: As the config is to name it.
        training: The records to train on.
        validation: The records to evaluate on.
        wishes: What is asked for.

    Raises:
        ConfigError: The text is no pipeline config, or cannot be edited.
        UsageError: More steps are asked for than can be counted.
    """
    text = _with_readers(text, parse_pipeline_config(text, where))
    config, recipe = parse_pipeline_config(text, where), parse_pipeline_config(text, where)
    model = next((field.name for field, value in config.model.ListFields() if hasattr(value, "num_classes")), None)
    if model is None:
        raise ConfigError(f"{where}: model: has no ssd and no faster_rcnn, whose classes could be counted")
    batch_size = wishes.batch_size or config.train_config.batch_size
    recipe_steps = steps_of_recipe(config)
    steps = count_steps(
        num_images=training.num_images,
        batch_size=batch_size,
        recipe_steps=recipe_steps,
        recipe_batch_size=config.train_config.batch_size,
        starts_as_detector=_starts_as_detector(config.train_config, wishes),
        num_epochs=wishes.num_epochs,
        num_steps=wishes.num_steps,
    )
    scaled = stretched(config, recipe_steps, steps.steps) if recipe_steps and steps.steps != recipe_steps else []
    changes = [
        Change(f"model.{model}.num_classes", label_map.max_id),
        *_reader_changes(config.train_input_reader, "train_input_reader", label_map_path, training.pattern),
        *_evaluation_changes(config, label_map_path, validation),
        Change("train_config.num_steps", steps.steps),
        *_wished(config, wishes),
        *scaled,
    ]
    filled = changed_text(text, config, changes, where)
    num_recipe_steps = f"{recipe_steps} -> " if recipe_steps not in (0, steps.steps) else ""
    lines = [
        f"model.{model}.num_classes: {label_map.max_id}{_about_gaps(label_map)}",
        f"train_input_reader: {training.pattern}, {training.num_images} images",
        f"eval_input_reader: {validation.pattern}, {validation.num_images} images",
        *(f"{change.path}: taken out{_about_sets(change.path)}" for change in changes if change.value is None),
        f"train_config.num_steps: {num_recipe_steps}{steps.steps}, {steps.why}",
        *_about_steps(recipe, scaled, recipe_steps),
        *_about_batch_size(recipe, batch_size),
    ]
    return FilledRecipe(filled, config, tuple(lines), tuple(unfilled_paths(config)))


def _check_classes(path: Path, manifest: Manifest, label_map: LabelMap) -> None:
    differences = class_differences(manifest, label_map)
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UsageError(
            f"{path}: the records were made with another label map, {manifest.label_map_path}: "
            f"{'; '.join(differences[:3])}{more}; give --label_map_path that one, or write the records again"
        )


def _with_readers(text: str, config: Any) -> str:
    """Returns the text with an empty reader where one is missing, to be filled in."""
    there = {field.name for field, _ in config.ListFields()}
    missing = [name for name in ("train_input_reader", "eval_input_reader") if name not in there]
    return "".join([text, *(f"\n{name} {{\n}}\n" for name in missing)])


def _reader_changes(reader: Any, path: str, label_map_path: str, pattern: str) -> Iterator[Change]:
    """Yields what becomes of a reader: its paths; weights of several paths go."""
    yield Change(f"{path}.label_map_path", label_map_path)
    if reader.HasField("external_input_reader"):
        yield Change(f"{path}.external_input_reader", None)
    yield Change(f"{path}.tf_record_input_reader.input_path", pattern)
    if reader.sample_from_datasets_weights:
        yield Change(f"{path}.sample_from_datasets_weights", None)


def _evaluation_changes(config: Any, label_map_path: str, validation: RecordSource) -> Iterator[Change]:
    yield from _reader_changes(config.eval_input_reader[0], "eval_input_reader[0]", label_map_path, validation.pattern)
    for index in range(1, len(config.eval_input_reader)):
        yield Change(f"eval_input_reader[{index}]", None)
    if config.eval_config.HasField("num_examples"):
        yield Change("eval_config.num_examples", validation.num_images)


def _starts_as_detector(train_config: Any, wishes: Wishes) -> bool:
    wished = wishes.fine_tune_checkpoint
    checkpoint = train_config.fine_tune_checkpoint if wished is None else wished
    return checkpoint not in ("", FROM_SCRATCH) and train_config.fine_tune_checkpoint_type == "full"


def _wished(config: Any, wishes: Wishes) -> Iterator[Change]:
    if wishes.batch_size is not None:
        yield Change("train_config.batch_size", wishes.batch_size)
    if wishes.fine_tune_checkpoint == FROM_SCRATCH:
        for name in _FINE_TUNING:
            if config.train_config.HasField(name):
                yield Change(f"train_config.{name}", None)
    elif wishes.fine_tune_checkpoint is not None:
        yield Change(CHECKPOINT, wishes.fine_tune_checkpoint)


def _about_gaps(label_map: LabelMap) -> str:
    gaps = label_map.max_id - len(label_map)
    return f", the largest id of {len(label_map)} classes; {gaps} ids have none" if gaps else ""


def _about_sets(path: str) -> str:
    return ", as there is one set to evaluate on" if path.startswith("eval_input_reader[") and "." not in path else ""


def _about_steps(recipe: Any, scaled: list[Change], recipe_steps: int) -> Iterator[str]:
    if scaled:
        shown = ", ".join(
            f"{change.path.rpartition('.')[2]} {_old(recipe, change.path)} -> {change.value}" for change in scaled
        )
        yield f"stretched with it: {shown}"
    elif not recipe_steps:
        yield "the recipe names no number of steps: its learning rates and intervals are kept (configs.plot_schedule)"


def _old(config: Any, path: str) -> int:
    parent, name, _ = place_of(config, path)
    return int(getattr(parent, name))


def _about_batch_size(recipe: Any, batch_size: int) -> Iterator[str]:
    before = recipe.train_config.batch_size
    if before != batch_size:
        yield (
            f"train_config.batch_size: {before} -> {batch_size}; the learning rates are those for {before} "
            "(train.find_learning_rate suggests one)"
        )
