"""Settings of `TrainConfig`: how long, from where, on what batches and with which variables to train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from configs.schema.diagnosis import nearest
from configs.schema.problem import Note, Problem
from configs.settings.augmentations.augmentation import AugmentationSettings
from configs.settings.augmentations.options import AUGMENTATION_OPTIONS
from configs.settings.declaration import Settings, between, nested
from configs.settings.optimizers import Optimizer
from configs.settings.patterns import check_pattern
from configs.settings.values import declared, items, number, scalar

FINE_TUNE_CHECKPOINT_TYPES = ("classification", "detection", "full")

_OLD_QUEUE = "it steered queues that TensorFlow 2 has not"
_OLD_REPLICAS = "replicas are always in step"


def checkpoint_type_of(fine_tune_checkpoint_type: str, *, from_detection_checkpoint: bool) -> str:
    """What to take from `fine_tune_checkpoint`: `classification`, `detection` or `full`.

    Unset, it is `detection` with the older `from_detection_checkpoint: true`, and otherwise `classification`.
    """
    return fine_tune_checkpoint_type or ("detection" if from_detection_checkpoint else "classification")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Settings, message="TrainConfig"):
    """How a model is trained."""

    batch_size: int = number(at_least=1, reason="images make no batch", instead="use 1 or more")
    data_augmentation_options: tuple[AugmentationSettings, ...] = declared(AUGMENTATION_OPTIONS)
    optimizer: Optimizer = nested(Optimizer)
    # 0 or less is none, as in the API.
    gradient_clipping_by_norm: float = number()
    bias_grad_multiplier: float = number(at_least=0.0)
    fine_tune_checkpoint: str = scalar()
    fine_tune_checkpoint_type: str = scalar()
    fine_tune_checkpoint_version: str = scalar()
    from_detection_checkpoint: bool = scalar()
    num_steps: int = number()
    update_trainable_variables: tuple[str, ...] = items()
    freeze_variables: tuple[str, ...] = items()
    max_number_of_boxes: int = number(at_least=1, reason="leaves no ground truth", instead="use 1 or more")
    use_bfloat16: bool = scalar()
    merge_multiple_label_boxes: bool = scalar()
    add_regularization_loss: bool = scalar()
    summarize_gradients: bool = scalar()
    keep_checkpoint_every_n_hours: float = number(at_least=0.0)

    no_effect = {
        "sync_replicas": _OLD_REPLICAS,
        "startup_delay_steps": _OLD_REPLICAS,
        "replicas_to_aggregate": _OLD_REPLICAS,
        "batch_queue_capacity": _OLD_QUEUE,
        "num_batch_queue_threads": _OLD_QUEUE,
        "prefetch_queue_capacity": _OLD_QUEUE,
        "load_all_detection_checkpoint_vars": "every variable that fits is always taken",
        "run_fine_tune_checkpoint_dummy_computation": "the model always has its variables before restoring",
        "unpad_groundtruth_tensors": "padding never counts",
        "retain_original_images": "images for TensorBoard are always there",
    }
    refused = {
        "use_multiclass_scores": (
            "soft class targets are not read",
            "delete it: classes come from image/object/class/label",
        ),
    }

    @property
    def checkpoint_type(self) -> str:
        """What to take from `fine_tune_checkpoint`: `classification`, `detection` or `full`."""
        return checkpoint_type_of(
            self.fine_tune_checkpoint_type, from_detection_checkpoint=self.from_detection_checkpoint
        )

    @between("fine_tune_checkpoint", "fine_tune_checkpoint_type")
    def _is_the_type_known(self) -> Iterator[Problem]:
        given = self.fine_tune_checkpoint_type
        if not self.fine_tune_checkpoint or not given or given in FINE_TUNE_CHECKPOINT_TYPES:
            return
        near = "full" if given == "fine_tune" else nearest(given, FINE_TUNE_CHECKPOINT_TYPES)
        instead = f'use "{near}"' if near else f"use one of {', '.join(FINE_TUNE_CHECKPOINT_TYPES)}"
        yield Problem("fine_tune_checkpoint_type", f'"{given}" is not known', instead)

    @between("update_trainable_variables", "freeze_variables")
    def _are_patterns_sound(self) -> Iterator[Problem]:
        for field in ("update_trainable_variables", "freeze_variables"):
            for index, pattern in enumerate(getattr(self, field)):
                yield from check_pattern(pattern, f"{field}[{index}]")

    @between("fine_tune_checkpoint", "fine_tune_checkpoint_type", "fine_tune_checkpoint_version")
    def _explain_checkpoint(self) -> Iterator[Note]:
        """Notes about the API's older ways of saying where to start from."""
        if self.from_detection_checkpoint:
            if self.fine_tune_checkpoint_type:
                text = f'has no effect: fine_tune_checkpoint_type: "{self.fine_tune_checkpoint_type}" says more'
            else:
                text = 'is read as fine_tune_checkpoint_type: "detection"'
            yield Note("from_detection_checkpoint", text)
        is_unset = "fine_tune_checkpoint_version" not in self.written
        if self.fine_tune_checkpoint_version == "V1" and not is_unset:
            text = (
                "V1 is a checkpoint of TensorFlow 1: the file itself tells, and its variables are found by the names "
                "that tf_slim gave them"
            )
            yield Note("fine_tune_checkpoint_version", text)
        elif is_unset and self.fine_tune_checkpoint:
            text = "unset, which in the API means V1, a checkpoint of TensorFlow 1; here the file itself tells"
            yield Note("fine_tune_checkpoint_version", text)
