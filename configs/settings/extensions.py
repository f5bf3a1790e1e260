"""Settings of `Extensions` and below: what the Object Detection API never had."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.problem import Problem
from configs.settings.backbones import ModelGardenBackbone
from configs.settings.declaration import Settings, nested
from configs.settings.inputs import ClassAwareSampling
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
class Extensions(Settings, message="Extensions"):
    """Everything of ours that a config can say."""

    mixed_precision: str = scalar()
    evaluate_every_n_steps: int = number()
    checkpoint_every_n_steps: int = number()
    class_aware_sampling: ClassAwareSampling | None = nested(ClassAwareSampling, optional=True)
    early_stopping: EarlyStopping = nested(EarlyStopping)
    model_garden_backbone: ModelGardenBackbone | None = nested(ModelGardenBackbone, optional=True)

    @property
    def stops_early(self) -> bool:
        """Whether a training ends when it no longer improves: `early_stopping` is written, even if empty."""
        return "early_stopping" in self.written
