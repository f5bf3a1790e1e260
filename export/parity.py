"""The check that a written SavedModel detects what the checkpoint detects."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from export.signatures import INPUT_NAME, OUTPUT_NAMES, decode_image, detection_function
from train.commands import UserError
from train.models.detector import Detector

# Folding batch norm rounds differently; anything beyond this is another model.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_BOX_DIFFERENCE = 2e-3  # of the picture's side
# Where two boxes of a class overlap at least so much and score the same, NMS may keep either: a near-tie.
_NEAR_TIE_IOU = 0.5
_GENERATED_PICTURES = 3
_MAX_PICTURES = 16


@dataclasses.dataclass(frozen=True)
class ParityReport:
    """How far a SavedModel's detections are from the checkpoint's.

    Attributes:
        num_pictures: How many pictures were compared.
        num_detections: How many of the checkpoint's detections.
        max_score_difference: The largest, over detections that both have.
        max_box_difference: The largest, of a coordinate in 0..1, over detections that both have.
        num_near_ties: Detections for which the other kept an overlapping box of the same class and score.
        unmatched: In words, detections that only one of the two has.
    """

    num_pictures: int
    num_detections: int
    max_score_difference: float
    max_box_difference: float
    num_near_ties: int
    unmatched: tuple[str, ...]

    def summary(self) -> str:
        """One line for people."""
        return (
            f"compared {self.num_detections} detections on {self.num_pictures} pictures: largest difference of a score "
            f"{self.max_score_difference:.1e}, of a box {self.max_box_difference:.1e} of the picture's side; "
            f"{self.num_near_ties} near-ties, {len(self.unmatched)} that only one of the two has"
        )


def check_parity(
    saved_model_dir: Path, detector: Detector, image_resizer: Any, input_type: str, picture_paths: Sequence[Path] = ()
) -> ParityReport:
    """Loads what was written, asks it, and compares.

    Args:
        saved_model_dir: The folder with `saved_model.pb`.
        detector: The checkpoint's.
        image_resizer: The model's `ImageResizer` message.
        input_type: What the SavedModel takes.
        picture_paths: Pictures to compare on; generated ones where none are given.

    Raises:
        UserError: The two differ, or a picture cannot be read.
    """
    signature = tf.saved_model.load(str(saved_model_dir)).signatures["serving_default"]
    reference = tf.function(detection_function(detector, image_resizer, "image_tensor"))
    total = _Comparison()
    for name, encoded in _pictures(picture_paths):
        try:
            pixels = decode_image(tf.constant(encoded))
        except tf.errors.InvalidArgumentError:
            raise UserError(f"{name} is not a JPEG or PNG that decodes; give other pictures") from None
        request = tf.constant([encoded]) if input_type == "encoded_image_string_tensor" else pixels[tf.newaxis]
        exported = {key: value.numpy()[0] for key, value in signature(**{INPUT_NAME: request}).items()}
        if sorted(exported) != sorted(OUTPUT_NAMES):
            raise UserError(f"the SavedModel answers with {sorted(exported)}, not {sorted(OUTPUT_NAMES)}")
        expected = {key: value.numpy()[0] for key, value in reference(pixels[tf.newaxis]).items()}
        total.add(name, expected, exported)
    report = total.report()
    if report.unmatched:
        raise UserError(
            f"the SavedModel does not detect what the checkpoint does: {report.summary()}; first: {report.unmatched[0]}"
        )
    return report


class _Comparison:
    """Adds up comparisons of single pictures."""

    def __init__(self) -> None:
        self._num_pictures = self._num_detections = self._num_near_ties = 0
        self._max_score = self._max_box = 0.0
        self._unmatched: list[str] = []

    def add(self, name: str, expected: Mapping[str, np.ndarray], exported: Mapping[str, np.ndarray]) -> None:
        self._num_pictures += 1
        self._num_detections += int(expected["num_detections"])
        self._compare_ranks(name, expected, exported)
        for owner, ours, others in (("checkpoint", expected, exported), ("SavedModel", exported, expected)):
            for row in range(int(ours["num_detections"])):
                self._find(f"{name}: only the {owner} has", row, ours, others)

    def _compare_ranks(self, name: str, expected: Mapping[str, np.ndarray], exported: Mapping[str, np.ndarray]) -> None:
        """Compares scores by rank, which no near-tie excuses: a network whose scores are all alike has only ties."""
        difference = np.abs(expected["detection_scores"] - exported["detection_scores"])
        if difference.max() > MAX_SCORE_DIFFERENCE:
            rank = int(difference.argmax())
            scores = expected["detection_scores"][rank], exported["detection_scores"][rank]
            self._unmatched.append(f"{name}: score {scores[0]:.4f} at rank {rank}, {scores[1]:.4f} in the SavedModel")

    def _find(self, words: str, row: int, ours: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> None:
        box, score, class_id = (ours[f"detection_{key}"][row] for key in ("boxes", "scores", "classes"))
        count = int(others["num_detections"])
        if self._is_cut(score, ours, others):
            return
        score_difference = np.abs(others["detection_scores"][:count] - score)
        same = (others["detection_classes"][:count] == class_id) & (score_difference <= MAX_SCORE_DIFFERENCE)
        if same.any():
            candidates = np.flatnonzero(same)
            difference = np.abs(others["detection_boxes"][candidates] - box).max(axis=1)
            nearest = candidates[difference.argmin()]
            if difference.min() <= MAX_BOX_DIFFERENCE:
                self._max_box = max(self._max_box, float(difference.min()))
                self._max_score = max(self._max_score, float(score_difference[nearest]))
                return
            if _iou(box, others["detection_boxes"][candidates]).max() >= _NEAR_TIE_IOU:
                self._num_near_ties += 1
                return
        self._unmatched.append(f"{words} class {class_id:.0f}, score {score:.4f}, box {np.round(box, 4).tolist()}")

    @staticmethod
    def _is_cut(score: float, *sides: Mapping[str, np.ndarray]) -> bool:
        """Whether a score is so near the last one kept that the other list may have ended before it."""
        last = max(
            side["detection_scores"][int(side["num_detections"]) - 1] if side["num_detections"] else 0.0
            for side in sides
        )
        return bool(score <= last + MAX_SCORE_DIFFERENCE)

    def report(self) -> ParityReport:
        return ParityReport(
            self._num_pictures,
            self._num_detections,
            self._max_score,
            self._max_box,
            self._num_near_ties,
            tuple(self._unmatched),
        )


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - intersection
    return intersection / np.maximum(union, 1e-12)


def _pictures(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """Yields names and encoded pictures: those given, or generated ones of several shapes."""
    given = list(paths)[:_MAX_PICTURES]
    for path in given:
        try:
            yield str(path), path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from None
    if given:
        return
    generator = np.random.default_rng(0)
    for number, (height, width) in enumerate([(480, 640), (640, 427), (300, 300)][:_GENERATED_PICTURES]):
        # Noise of large blocks: it has edges and areas, as photographs have.
        blocks = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        yield f"generated picture {number}", buffer.getvalue()
