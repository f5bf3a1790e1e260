"""What makes an export answer a little differently from its checkpoint, and how many detections it has in common.

An approximate export still equals, but for rounding, the checkpoint with rounded weights on images that were decoded as
it decodes them; `parity` checks that. This compares it with the checkpoint as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import UsageError, UserError
from export.agreement import Agreement, agree
from export.image_inputs import is_encoded
from export.parity import LOADERS, ask_checkpoint, request_of
from export.parity_images import SampleImage, generated_images
from export.score_thresholds import applied_to
from export.signatures import BakedThresholds, signature_names
from export.weights_dtype import FLOAT32
from train.models.detector import Detector


@dataclasses.dataclass(frozen=True)
class Approximation:
    """What to give up for a smaller or faster export, and how much of it.

    Attributes:
        weights_dtype: In which kernels are stored: `float32`, `float16` or `bfloat16`.
        scaled_jpeg: Whether JPEGs are decoded at a fraction of their size where the resizer shrinks them by as much.
        min_agreement: The least share of detections in common with the checkpoint, 0..1.
        min_score: What detections count from, 0..1.
    """

    weights_dtype: str = FLOAT32
    scaled_jpeg: bool = False
    min_agreement: float = 0.8
    min_score: float = 0.3

    def __str__(self) -> str:
        weights = [f"{self.weights_dtype} weights"] if self.weights_dtype != FLOAT32 else []
        return " and ".join([*weights, *(["JPEGs decoded at a fraction of their size"] if self.scaled_jpeg else [])])

    @property
    def is_exact(self) -> bool:
        """Whether nothing is given up."""
        return self.weights_dtype == FLOAT32 and not self.scaled_jpeg

    def require_encoded(self, input_types: Sequence[str]) -> None:
        """Checks that an export has something to decode, where decoding is what changes.

        Raises:
            UsageError: It takes pixels only.
        """
        if self.scaled_jpeg and not any(map(is_encoded, input_types)):
            raise UsageError(
                f"--scaled_jpeg_decode: {' '.join(input_types)} takes pixels, and there is nothing to decode; add "
                "--input_type encoded_image_string_tensor"
            )

    def check(
        self,
        saved_model_dir: Path,
        detector: Detector,
        input_types: Sequence[str],
        images: Sequence[SampleImage],
        baked: BakedThresholds | None = None,
    ) -> Agreement:
        """Asks an export and its checkpoint about images.

        Args:
            saved_model_dir: The folder with `saved_model.pb`.
            detector: The checkpoint's, with its own weights.
            input_types: What the SavedModel takes, as `signature_names` orders it.
            images: To compare on; generated ones where none are given.
            baked: Thresholds that the SavedModel applies: they are applied to the checkpoint's detections too.

        Raises:
            UserError: The two have less than `min_agreement` in common.
        """
        images = images or generated_images()
        signature, input_type = next(
            (name, kind)
            for name, kind in signature_names(input_types, baked).items()
            if is_encoded(kind) or not self.scaled_jpeg
        )
        total = Agreement()
        pixels = [image.pixels() for image in images]
        with LOADERS["TF2 function"](saved_model_dir) as ask:
            for image, array, expected in zip(images, pixels, ask_checkpoint(detector, pixels), strict=True):
                found = ask(signature, request_of(input_type, image, array))
                wanted = expected if baked is None else applied_to(expected, baked.thresholds)
                total += agree(array.shape[:2], wanted, found, self.min_score)
        if total.share < self.min_agreement:
            raise UserError(
                f"the SavedModel with {self} has {total.num_matched} detections in common with the checkpoint's "
                f"{total.num_expected}, a share of {total.share:.2f} of both lists, and --min_agreement is "
                f"{self.min_agreement:g}; nothing is written"
            )
        return total

    def summary(self, found: Agreement) -> str:
        """A line for people."""
        return (
            f"{self}: {found.num_matched} detections from score {self.min_score:g} on in common, of the checkpoint's "
            f"{found.num_expected} and the SavedModel's {found.num_found}; off by {found.max_box_pixels:.2f} pixels "
            f"and {found.max_score:.1e} of score at most"
        )
