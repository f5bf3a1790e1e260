"""Settings of a whole pipeline config, and what its parts must be together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from google.protobuf.message import Message

from configs.schema.descriptors import message_descriptor
from configs.schema.problem import Note, Problem
from configs.settings.augmentations.options import check_classes
from configs.settings.backbones import check_backbone
from configs.settings.declaration import Settings, between, nested
from configs.settings.evaluation import METRIC_PREFIXES, EvalConfig
from configs.settings.extensions import Extensions
from configs.settings.extractors import check_plugin_extractor
from configs.settings.inputs import InputReader
from configs.settings.model import MODELS, Model
from configs.settings.reading import Findings, collect_settings
from configs.settings.ssd import Ssd
from configs.settings.training import TrainConfig
from configs.settings.values import declared

_LOSS_PREFIX = "Loss/"
# Keras' names of them, by those of `extensions.mixed_precision`.
_PRECISIONS = {"FLOAT32": "float32", "MIXED_BFLOAT16": "mixed_bfloat16", "MIXED_FLOAT16": "mixed_float16"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineSettings(Settings, message="TrainEvalPipelineConfig"):
    """All settings of a training, evaluation or export run.

    Attributes:
        train_config: None where the config has none: one for evaluation needs none.
        train_input_reader: None where the config has none.
    """

    model: Model = declared(MODELS)
    train_config: TrainConfig | None = nested(TrainConfig, optional=True)
    train_input_reader: InputReader | None = nested(InputReader, optional=True)
    eval_config: EvalConfig = nested(EvalConfig)
    eval_input_reader: tuple[InputReader, ...] = nested(InputReader, repeated=True)
    extensions: Extensions = nested(Extensions)

    refused = {
        "graph_rewriter": ("training that simulates quantization is not supported", "delete it to train in float")
    }

    @property
    def precision_policy(self) -> str:
        """The name of Keras' precision policy: `float32`, `mixed_bfloat16` or `mixed_float16`."""
        if "mixed_precision" in self.extensions.written:
            return _PRECISIONS[self.extensions.mixed_precision]
        is_mixed = self.train_config is not None and self.train_config.use_bfloat16
        return "mixed_bfloat16" if is_mixed else "float32"

    @property
    def max_number_of_training_boxes(self) -> int:
        """Ground truth a training image, once padded; more is cut.

        `train_input_reader` decides, as in the API's TensorFlow 2 loop; the older field of `train_config` counts where
        only that is set.
        """
        if self._is_number_of_boxes_in_train_config and self.train_config is not None:
            return self.train_config.max_number_of_boxes
        default = message_descriptor("InputReader").fields_by_name["max_number_of_boxes"].default_value
        return self.train_input_reader.max_number_of_boxes if self.train_input_reader is not None else int(default)

    @property
    def max_number_of_training_boxes_path(self) -> str:
        """The path of the field that `max_number_of_training_boxes` comes from."""
        part = "train_config" if self._is_number_of_boxes_in_train_config else "train_input_reader"
        return f"{part}.max_number_of_boxes"

    @property
    def _is_number_of_boxes_in_train_config(self) -> bool:
        name, reader = "max_number_of_boxes", self.train_input_reader
        is_in_reader = reader is not None and name in reader.written
        return self.train_config is not None and name in self.train_config.written and not is_in_reader

    @between("train_config", "eval_config")
    def _are_averages_kept(self) -> Iterator[Problem]:
        if self.train_config is None or not self.eval_config.use_moving_averages:
            return
        if not self.train_config.optimizer.use_moving_average:
            reason = "training keeps none: train_config.optimizer.use_moving_average is false"
            yield Problem("eval_config.use_moving_averages", reason, "make the two agree")

    @between("train_config", "extensions")
    def _has_the_share_of_the_start_an_average(self) -> Iterator[Problem]:
        if self.train_config is None or not self.extensions.moving_average_share_of_start:
            return
        if not self.train_config.optimizer.use_moving_average:
            reason = "training keeps no average: train_config.optimizer.use_moving_average is false"
            yield Problem("extensions.moving_average_share_of_start", reason, "make the two agree")

    @between("model", "train_config", "eval_config")
    def _explain_padding(self) -> Iterator[Note]:
        """Says what becomes of images that the resizer leaves in sizes of their own."""
        if None not in self.model.image_resizer.static_size:
            return
        resizer = self.model.path_of("image_resizer").removeprefix("image_resizer.")
        parts: dict[str, TrainConfig | EvalConfig | None] = {"train_config": self.train_config}
        parts |= {"eval_config": self.eval_config} if "eval_config" in self.written else {}
        for name, part in parts.items():
            if part is not None and part.batch_size > 1:
                text = (
                    f"{part.unset('batch_size')}{part.batch_size} images, which {resizer} leaves in different "
                    "sizes: each is padded with zeros to the largest of its batch"
                )
                yield Note(f"{name}.batch_size", text)

    @between("model", "train_config")
    def _are_classes_the_models(self) -> Iterator[Problem]:
        options = self.train_config.data_augmentation_options if self.train_config is not None else ()
        for problem in check_classes(options, self.model.num_classes):
            yield Problem(f"train_config.data_augmentation_options{problem.path}", problem.reason, problem.use_instead)

    @between("model", "extensions")
    def _is_the_backbone_read(self) -> Iterator[Problem | Note]:
        yield from check_backbone(self.extensions.model_garden_backbone, self.model.feature_extractor.type)

    @between("model", "extensions")
    def _are_plugins_of_the_model_used(self) -> Iterator[Problem | Note]:
        extensions, loss = self.extensions, self.model.loss if isinstance(self.model, Ssd) else None
        yield from check_plugin_extractor(extensions.feature_extractor, self.model.feature_extractor.type)
        if extensions.classification_loss is None:
            return
        if loss is None:
            yield Problem("extensions.classification_loss", "only model.ssd has a place for it", "delete it")
        else:
            at = f"model.ssd.loss.{loss.path_of('classification_loss')}"
            yield Note(at, "has no effect: extensions.classification_loss is in its place")

    @between("eval_input_reader")
    def _do_readers_name_folders(self) -> Iterator[Problem]:
        for index, reader in enumerate(self.eval_input_reader):
            for problem in reader.check_folder_name():
                yield problem.below(f"eval_input_reader[{index}]")

    @between("train_config", "extensions")
    def _do_precisions_agree(self) -> Iterator[Problem]:
        chosen = self.extensions.mixed_precision
        if "mixed_precision" not in self.extensions.written or chosen == "MIXED_BFLOAT16":
            return
        if self.train_config is not None and self.train_config.use_bfloat16:
            reason = f"{chosen} contradicts train_config.use_bfloat16: true"
            yield Problem("extensions.mixed_precision", reason, "keep one of the two")

    @between("train_config", "extensions")
    def _does_the_batch_divide(self) -> Iterator[Problem]:
        parts = self.extensions.micro_batches
        if self.train_config is not None and self.train_config.batch_size % parts:
            whole = f"{self.train_config.unset('batch_size')}{self.train_config.batch_size}"
            reason = f"{parts} parts do not divide train_config.batch_size, {whole}"
            yield Problem("extensions.gradient_accumulation.steps", reason, "use a number that does")

    @between("train_config", "extensions")
    def _is_the_optimizer_replaced(self) -> Iterator[Note]:
        if self.train_config is None:
            return
        given = self.train_config.optimizer
        where = f"train_config.optimizer.{given.path_of('optimizer')}"
        kind, schedule = self.extensions.optimizer, self.extensions.learning_rate
        if schedule is not None:
            text = "has no effect: extensions.learning_rate is in its place"
            yield Note(f"{where}.{given.optimizer.path_of('learning_rate')}", text)
        if kind is None:
            return
        name = f"extensions.{self.extensions.path_of('optimizer')}"
        rest = "has no effect" if schedule is not None else "nothing but its learning rate has an effect"
        yield Note(where, f"{rest}: {name} is in its place")
        if kind.weight_decay and self.train_config.add_regularization_loss:
            text = (
                f"is true, so that the model's own regularizers act beside the weight decay of {name}; write false "
                "where that is to act alone"
            )
            yield Note("train_config.add_regularization_loss", text)

    @between("train_input_reader", "extensions")
    def _is_sampling_by_class_alone(self) -> Iterator[Problem]:
        reader = self.train_input_reader
        if self.extensions.class_aware_sampling is None or reader is None:
            return
        if not reader.shuffle:
            reason = "train_input_reader.shuffle: false would show its repeats one after the other"
            yield Problem("extensions.class_aware_sampling", reason, "delete one of the two")
        elif reader.sample_from_datasets_weights:
            reason = "train_input_reader.sample_from_datasets_weights also says how often a record is drawn"
            yield Problem("extensions.class_aware_sampling", reason, "delete one of the two")

    @between("train_config", "extensions")
    def _is_anything_mixed(self) -> Iterator[Note]:
        mixing, num_steps = self.extensions.mixing, self.train_config.num_steps if self.train_config is not None else 0
        if mixing is not None and num_steps and mixing.off_for_last_n_steps >= num_steps:
            text = f"is not below train_config.num_steps, {num_steps}: a run of so many steps mixes nothing"
            yield Note("extensions.mixing.off_for_last_n_steps", text)

    @between("eval_config", "extensions")
    def _is_the_stopping_metric_measured(self) -> Iterator[Problem]:
        metric = self.extensions.early_stopping.metric
        plugins = [part.name for part in self.extensions.metric]
        prefixes = (
            *(METRIC_PREFIXES[name] for name in self.eval_config.metrics_sets),
            *(f"{name}/" for name in plugins),
            _LOSS_PREFIX,
        )
        if self.extensions.stops_early and not metric.startswith(prefixes):
            reason = f'"{metric}" is not measured by {", ".join([*self.eval_config.metrics_sets, *plugins])}'
            instead = f"use one that begins with {' or '.join(prefixes)}"
            yield Problem("extensions.early_stopping.metric", reason, instead)


@dataclasses.dataclass(frozen=True)
class Reading:
    """A config as settings, or why it makes none.

    Attributes:
        settings: None if there are problems.
        problems: What cannot be honoured here, and what is missing; each path once.
        training_problems: What training alone cannot honour.
        notes: What has no effect, and what else is worth knowing.
    """

    settings: PipelineSettings | None
    problems: tuple[Problem, ...]
    training_problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def read_pipeline(config: Message) -> Reading:
    """Reads a config as settings: all that it says is honoured, refused, or noted.

    Args:
        config: A `TrainEvalPipelineConfig` message.
    """
    found = Findings()
    settings = collect_settings(PipelineSettings, config, "", found)
    # What a field was refused for is not told again as a consequence.
    problems: dict[str, Problem] = {}
    for problem in found.problems:
        problems.setdefault(problem.path, problem)
    return Reading(settings, tuple(problems.values()), tuple(found.training_problems), tuple(found.notes))
