"""Settings of `Extensions` and below: what the Object Detection API never had."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Problem
from configs.settings.backbones import ModelGardenBackbone
from configs.settings.declaration import Settings, between, nested
from configs.settings.inputs import ClassAwareSampling, RecordCache
from configs.settings.mixing import Mixing
from configs.settings.plugins import (
    AUGMENTATION,
    CLASSIFICATION_LOSS,
    FEATURE_EXTRACTOR,
    METRIC,
    PluginPart,
    list_problems,
    problems_of,
)
from configs.settings.values import number, scalar


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
class Recovery(Settings, message="Recovery"):
    """What to do when a loss is not finite."""

    max_trials: int = number(at_least=1, reason="is none", instead="use 1 or more, or delete extensions.recovery")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extensions(Settings, message="Extensions"):
    """Everything of ours that a config can say.

    Attributes:
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
    model_garden_backbone: ModelGardenBackbone | None = nested(ModelGardenBackbone, optional=True)
    mixing: Mixing | None = nested(Mixing, optional=True)
    cache: RecordCache | None = nested(RecordCache, optional=True)
    augmentation: tuple[PluginPart, ...] = nested(PluginPart, repeated=True)
    feature_extractor: PluginPart | None = nested(PluginPart, optional=True)
    classification_loss: PluginPart | None = nested(PluginPart, optional=True)
    metric: tuple[PluginPart, ...] = nested(PluginPart, repeated=True)

    @property
    def stops_early(self) -> bool:
        """Whether a training ends when it no longer improves: `early_stopping` is written, even if empty."""
        return "early_stopping" in self.written

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
