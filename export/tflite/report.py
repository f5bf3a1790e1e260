"""Report of the check of TensorFlow Lite models: for people, and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from export.agreement import Agreement
from export.comparison import Differences
from export.tflite.comparison import RawDifferences
from export.tflite.requirements import FLOAT, FULL_INTEGER

# Below this share of detections in common a model is worth a look.
_WARN_BELOW = 0.9


@dataclasses.dataclass(frozen=True)
class ModelCheck:
    """One model against its checkpoint.

    Attributes:
        quantization: How it was made.
        file_name: Its file's.
        num_bytes: Its file's size.
        milliseconds: The median time of an image, of one core of this machine.
        before_suppression: What the NMS is given.
        alike: Detections of a float model against the checkpoint's after an NMS like the operator's.
        agreement: Detections against the checkpoint's own, after the NMS of the config.
    """

    quantization: str
    file_name: str
    num_bytes: int
    milliseconds: float
    before_suppression: RawDifferences
    alike: Differences | None
    agreement: Agreement

    def problem(self, min_agreement: float) -> str:
        """A difference that makes this another model; empty when there is none.

        Nothing is quantised in a float model, so that it must equal the checkpoint but for rounding. Of others, the
        detections that both have must be at least so large a share.
        """
        if self.quantization == FLOAT:
            if self.before_suppression.num_beyond_rounding:
                return (
                    f"{self.file_name}: {self.before_suppression.num_beyond_rounding} of "
                    f"{self.before_suppression.num_rows} anchors differ by more than rounding before the NMS"
                )
            if self.alike is not None and self.alike.unmatched:
                return f"{self.file_name}: {len(self.alike.unmatched)} differences; first: {self.alike.unmatched[0]}"
        elif self.agreement.share < min_agreement:
            return (
                f"{self.file_name}: {self.agreement.num_matched} detections in common with the checkpoint's "
                f"{self.agreement.num_expected}, a share of {self.agreement.share:.2f} of both lists, and "
                f"--min_agreement is {min_agreement:g}"
            )
        return ""

    @property
    def warning(self) -> str:
        """A warning for people; empty when there is none."""
        if self.agreement.share >= _WARN_BELOW:
            return ""
        words = f"{self.file_name} shares {self.agreement.share:.2f} of the detections with the checkpoint"
        if self.quantization == FLOAT:
            return f"{words}, for its NMS is another than the config's; see --ssd_use_regular_nms and --max_detections"
        if self.quantization == FULL_INTEGER:
            return f"{words}; more --representative_records, such as the app will see, may bring it nearer"
        return f"{words}; a model with --quantization float would have all"


@dataclasses.dataclass(frozen=True)
class TfliteReport:
    """Differences of TensorFlow Lite models from their checkpoint.

    Attributes:
        models: A check each.
        image_names: What was compared on.
        min_score: What detections count from.
        nms: The operator's NMS, in words.
    """

    models: tuple[ModelCheck, ...]
    image_names: tuple[str, ...]
    min_score: float
    nms: str

    def summary(self) -> str:
        """A table for people."""
        names = f"{', '.join(self.image_names[:2])}{', ...' if len(self.image_names) > 2 else ''}"
        lines = [
            f"parity with the checkpoint on {len(self.image_names)} images ({names}), detections from score "
            f"{self.min_score:g}",
            f"NMS: {self.nms}",
            f"  {'':<26} {'':>6} {'':>6}  {'before NMS':^25}  {'after NMS':^48}",
            f"  {'model':<26} {'MB':>6} {'ms':>6}  {'box, pixels':>11} {'score':>7} {'class':>5}  "
            f"{'box, pixels':>11} {'score':>7} {'class':>5} {'checkpoint':>10} {'model':>5} {'both':>5}",
        ]
        for model in self.models:
            before, after = model.before_suppression, model.agreement
            lines.append(
                f"  {model.file_name:<26} {model.num_bytes / 1e6:>6.2f} {model.milliseconds:>6.1f}  "
                f"{before.max_box_pixels:>11.4f} {before.max_score:>7.1e} {before.num_other_classes:>5}  "
                f"{after.max_box_pixels:>11.4f} {after.max_score:>7.1e} {after.num_other_classes:>5} "
                f"{after.num_expected:>10} {after.num_found:>5} {after.num_matched:>5}"
            )
        return "\n".join(line.rstrip() for line in lines)

    def to_json(self) -> dict[str, Any]:
        """For a file beside the models."""
        models = [
            {**dataclasses.asdict(model), "agreement_share": round(model.agreement.share, 4)} for model in self.models
        ]
        return {
            "images": list(self.image_names),
            "min_score": self.min_score,
            "suppression": self.nms,
            "models": models,
        }
