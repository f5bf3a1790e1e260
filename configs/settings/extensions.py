"""Settings of `Extensions` and below: what the Object Detection API never had."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Problem
from configs.settings.annealing import ANNEALED
from configs.settings.backbones import ModelGardenBackbone
from configs.settings.declaration import Settings, between, nested
from configs.settings.inputs import ClassAwareSampling, RecordCache
from configs.settings.learning_rates import Schedule
from configs.settings.mixing import Mixing
from configs.settings.optimizers import DECOUPLED, AdamW, AnyOptimizer, Lamb, Optimizer
from configs.settings.patterns import check_pattern
from configs.settings.plugins import (
    AUGMENTATION,
    CLASSIFICATION_LOSS,
    FEATURE_EXTRACTOR,
    METRIC,
    PluginPart,
    list_problems,
    problems_of,
)
from configs.settings.values import declared, number, scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class EarlyStopping(Settings, message="EarlyStopping"):
    """When to end a training that no longer improves."""

    metric: str = scalar()
    patience: int = number(at_least=1, reason="is none", instead="use 1 or more")
    min_delta: float = number(at_least=0.0, reason="is no gain", instead="use 0.0 or more")

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if not self.metric:
            yield Problem("metric", "is empty", 'use "DetectionBoxes_Precision/mAP", or delete it')


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientAccumulation(Settings, message="GradientAccumulation"):
    """In how many parts a step looks at its batch."""

    steps: int = number(at_least=1, reason="parts are no batch", instead="use 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LearningRateMultiplier(Settings, message="LearningRateMultiplier"):
    """How fast the variables that a pattern meets learn, beside the others."""

    pattern: str = scalar()
    multiplier: float = number(
        above=0.0, reason="must be greater than 0", instead="name what must not move in train_config.freeze_variables"
    )

    @between("pattern")
    def _is_the_pattern_sound(self) -> Iterator[Problem]:
        if self.pattern:
            yield from check_pattern(self.pattern, "pattern")
        else:
            yield Problem("pattern", "is empty", 'write one, such as "backbone"; it is looked for anywhere in a name')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summaries(Settings, message="Summaries"):
    """What a training is watched by, beside what always is."""

    histograms: bool = scalar()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recovery(Settings, message="Recovery"):
    """What to do when a loss is not finite."""

    max_trials: int = number(at_least=1, reason="is none", instead="use 1 or more, or delete extensions.recovery")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extensions(Settings, message="Extensions"):
    """Everything of ours that a config can say.

    Attributes:
        gradient_accumulation: None: a batch is looked at as a whole.
        optimizer: In place of the kind that `train_config.optimizer` names; None: that one.
        learning_rate: In place of the schedule in `train_config.optimizer`; None: that one.
        augmentation: Applied after `train_config.data_augmentation_options`.
        feature_extractor: What `ssd_plugin_fpn` stands on.
        classification_loss: In place of the model's; None: the model's.
        metric: Beside the metrics sets.
    """

    mixed_precision: str = scalar()
    evaluate_every_n_steps: int = number()
    checkpoint_every_n_steps: int = number()
    class_aware_sampling: ClassAwareSampling | None = nested(ClassAwareSampling, optional=True)
    early_stopping: EarlyStopping = nested(EarlyStopping)
    recovery: Recovery | None = nested(Recovery, optional=True)
    gradient_accumulation: GradientAccumulation | None = nested(GradientAccumulation, optional=True)
    learning_rate_multiplier: tuple[LearningRateMultiplier, ...] = nested(LearningRateMultiplier, repeated=True)
    learning_rate_decay_by_depth: float = number(above=0.0, at_most=1.0)
    moving_average_share_of_start: float = number(at_least=0.0, below=1.0, reason="is no share", instead="use 0.5")
    summaries: Summaries = nested(Summaries)
    model_garden_backbone: ModelGardenBackbone | None = nested(ModelGardenBackbone, optional=True)
    optimizer: AdamW | Lamb | None = declared(DECOUPLED)
    learning_rate: Schedule | None = declared(ANNEALED)
    mixing: Mixing | None = nested(Mixing, optional=True)
    cache: RecordCache | None = nested(RecordCache, optional=True)
    strict_records: bool = scalar()
    class_hierarchy_path: str = scalar()
    augmentation: tuple[PluginPart, ...] = nested(PluginPart, repeated=True)
    feature_extractor: PluginPart | None = nested(PluginPart, optional=True)
    classification_loss: PluginPart | None = nested(PluginPart, optional=True)
    metric: tuple[PluginPart, ...] = nested(PluginPart, repeated=True)

    @property
    def stops_early(self) -> bool:
        """Whether a training ends when it no longer improves: `early_stopping` is written, even if empty."""
        return "early_stopping" in self.written

    @property
    def micro_batches(self) -> int:
        """In how many parts a step looks at its batch; 1: as a whole."""
        return self.gradient_accumulation.steps if self.gradient_accumulation is not None else 1

    def optimizer_over(self, given: Optimizer) -> AnyOptimizer:
        """The kind of optimizer that trains: that of the extensions, or else of `train_config.optimizer`."""
        return self.optimizer or given.optimizer

    def schedule_over(self, given: Optimizer) -> Schedule:
        """The learning rate that trains: that of the extensions, or else of `train_config.optimizer`."""
        return self.learning_rate or given.optimizer.learning_rate

    @between(AUGMENTATION)
    def _are_augmentations_registered(self) -> Iterator[Problem]:
        yield from list_problems(AUGMENTATION, self.augmentation)

    @between(FEATURE_EXTRACTOR)
    def _is_the_extractor_registered(self) -> Iterator[Problem]:
        yield from problems_of(FEATURE_EXTRACTOR, self.feature_extractor)

    @between(CLASSIFICATION_LOSS)
    def _is_the_loss_registered(self) -> Iterator[Problem]:
        yield from problems_of(CLASSIFICATION_LOSS, self.classification_loss)

    @between(METRIC)
    def _are_metrics_registered(self) -> Iterator[Problem]:
        yield from list_problems(METRIC, self.metric)
        names = [part.name for part in self.metric]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Problem(f"{METRIC}[{index}].name", f'"{name}" is there already', "delete one of the two")
