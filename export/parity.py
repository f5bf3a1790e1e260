"""Parity check: a written SavedModel, read in both ways that programs read it, detects what the checkpoint detects."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from export.comparison import Differences, Outputs, compare_detections, compare_raw
from export.image_inputs import INPUT_NAME, batch_reader, decode_image, is_encoded
from export.parity_images import SampleImage, generated_images
from export.scaled_jpeg import scaled_decoder
from export.score_thresholds import below_thresholds, comparable
from export.signatures import ALL_DETECTIONS, OUTPUT_NAMES, RAW_OUTPUTS, BakedThresholds, signature_names
from train.evaluation.thresholds_file import ClassThresholds
from train.models.detector import Detector

BEFORE, AFTER = "before NMS", "after NMS"
# Of raw predictions, the share that near-ties of a first stage may change.
_MAX_RAW_SHARE_UNMATCHED = 0.05

# From a signature's name and what its input takes to what its outputs hold, without the batch's dimension.
Ask = Callable[[str, np.ndarray], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        signature: Its name; of raw predictions the one whose images were asked for.
        read_as: `TF2 function` or `Session`.
        stage: `before NMS` or `after NMS`.
        differences: What was found.
    """

    signature: str
    read_as: str
    stage: str
    differences: Differences

    @property
    def problem(self) -> str:
        """A difference that makes this another model; empty when there is none."""
        found = self.differences
        allowed = 0 if self.stage == AFTER else _MAX_RAW_SHARE_UNMATCHED * found.num_compared
        if len(found.unmatched) <= allowed:
            return ""
        return (
            f"{self.signature} as a {self.read_as}, {self.stage}: {len(found.unmatched)} that only one of the two has; "
            f"first: {found.unmatched[0]}"
        )


@dataclasses.dataclass(frozen=True)
class ParityReport:
    """Differences of a SavedModel from its checkpoint, for every signature.

    Attributes:
        checks: All comparisons.
        image_names: What was compared on.
        thresholds: What the SavedModel applies, and was applied to the checkpoint's detections; None for nothing.
    """

    checks: tuple[Check, ...]
    image_names: tuple[str, ...]
    thresholds: ClassThresholds | None = None

    @property
    def num_detections(self) -> int:
        """Number of the checkpoint's detections that were looked for, in one check."""
        return next(check.differences.num_compared for check in self.checks if check.stage == AFTER)

    def summary(self) -> str:
        """A table for people."""
        title = f"parity with the checkpoint on {len(self.image_names)} images ({', '.join(self.image_names[:2])}"
        title += ", ...)" if len(self.image_names) > 2 else ")"
        lines = [
            title,
            f"  {'signature':<28} {'read as':<13} {'stage':<11} {'compared':>9} {'box, pixels':>12} {'score':>8} "
            f"{'class':>6} {'near-ties':>10} {'in one only':>12}",
        ]
        for check in self.checks:
            found = check.differences
            lines.append(
                f"  {check.signature:<28} {check.read_as:<13} {check.stage:<11} {found.num_compared:>9} "
                f"{found.max_box_pixels:>12.4f} {found.max_score:>8.1e} {found.num_other_classes:>6} "
                f"{found.num_near_ties:>10} {len(found.unmatched):>12}"
            )
        if self.thresholds is not None:
            lines.append(f"after NMS with {self.thresholds.summary()}")
            if any(check.signature == ALL_DETECTIONS for check in self.checks):
                lines.append(f"{ALL_DETECTIONS} answers without them")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For a file beside the export."""
        written: dict[str, Any] = {"images": list(self.image_names)}
        if self.thresholds is not None:
            written["thresholds"] = {
                self.thresholds.names[class_id]: threshold if math.isfinite(threshold) else None
                for class_id, threshold in self.thresholds.by_class.items()
            }
        return {**written, "checks": [dataclasses.asdict(check) for check in self.checks]}


def check_parity(
    saved_model_dir: Path,
    detector: Detector,
    input_types: Sequence[str],
    images: Sequence[SampleImage] = (),
    *,
    before_nms_dir: Path | None = None,
    baked: BakedThresholds | None = None,
    scaled_jpeg: bool = False,
) -> ParityReport:
    """Loads what was written in both ways, asks every signature, and compares.

    Args:
        saved_model_dir: The folder with `saved_model.pb`.
        detector: The checkpoint's.
        input_types: What the SavedModel takes, as `signature_names` orders it.
        images: To compare on; generated ones where none are given.
        before_nms_dir: A SavedModel whose `serving_default` is the module's `before_nms`; None compares no raw
            predictions.
        baked: Thresholds that the SavedModel applies: they are applied to the checkpoint's detections too.
        scaled_jpeg: Whether it decodes JPEGs at a fraction of their size: the checkpoint gets the same images.

    Raises:
        UserError: The two differ, or an image cannot be read.
    """
    images = list(images) or generated_images()
    pixels = [image.pixels() for image in images]
    of_pixels = ask_checkpoint(detector, pixels)
    of_encoded = of_pixels
    if scaled_jpeg:
        decode = scaled_decoder(detector.settings.image_resizer, decode_image)
        of_encoded = ask_checkpoint(detector, [decode(tf.constant(image.encoded)).numpy() for image in images])
    checks = []
    plans: list[tuple[Path, str, dict[str, str], tuple[str, ...]]] = [
        (saved_model_dir, AFTER, signature_names(input_types, baked), OUTPUT_NAMES)
    ]
    if before_nms_dir is not None:
        plans.insert(0, (before_nms_dir, BEFORE, signature_names(input_types[:1]), RAW_OUTPUTS))
    for folder, stage, signatures, outputs in plans:
        for read_as, load in LOADERS.items():
            with load(folder) as ask:
                for signature, input_type in signatures.items():
                    expected = of_encoded if is_encoded(input_type) else of_pixels
                    requests = [request_of(input_type, *given) for given in zip(images, pixels, strict=True)]
                    answers = [_ask(ask, signature, request, outputs) for request in requests]
                    applied = baked.thresholds if baked and stage == AFTER and signature != ALL_DETECTIONS else None
                    found = _compare(stage, images, pixels, expected, answers, applied)
                    checks.append(Check(signature, read_as, stage, found))
    names = tuple(image.name for image in images)
    report = ParityReport(tuple(checks), names, baked.thresholds if baked is not None else None)
    for check in checks:
        if check.problem:
            raise UserError(f"the SavedModel does not detect what the checkpoint does: {check.problem}")
    return report


@contextlib.contextmanager
def _as_functions(saved_model_dir: Path) -> Iterator[Ask]:
    """Loads a SavedModel as a Python program does."""
    loaded = tf.saved_model.load(str(saved_model_dir))

    def ask(signature: str, request: np.ndarray) -> dict[str, np.ndarray]:
        answers = loaded.signatures[signature](**{INPUT_NAME: tf.constant(request)})
        return {name: value.numpy()[0] for name, value in answers.items()}

    yield ask


@contextlib.contextmanager
def _through_session(saved_model_dir: Path) -> Iterator[Ask]:
    """Loads a SavedModel as TensorFlow Serving and other C++ programs do: by the names of tensors in a graph."""
    graph = tf.Graph()
    with contextlib.closing(tf.compat.v1.Session(graph=graph)) as session:
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(saved_model_dir))

        def ask(signature: str, request: np.ndarray) -> dict[str, np.ndarray]:
            definition = meta_graph.signature_def[signature]
            fetches = {name: tensor.name for name, tensor in definition.outputs.items()}
            answers = session.run(fetches, {definition.inputs[INPUT_NAME].name: request})
            return {name: value[0] for name, value in answers.items()}

        yield ask


LOADERS = {"TF2 function": _as_functions, "Session": _through_session}


def ask_checkpoint(detector: Detector, pixels: Sequence[np.ndarray]) -> list[Outputs]:
    """What a detector finds in images, uint8 [H, W, 3] each, and its raw predictions, without the batch's dimension."""
    read = batch_reader("image_tensor", detector.settings.image_resizer)

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8)])
    @tf.autograph.experimental.do_not_convert
    def detect(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return detector.detect_with_raw(*read(images))

    return [{name: value.numpy()[0] for name, value in detect(array[np.newaxis]).items()} for array in pixels]


def request_of(input_type: str, image: SampleImage, pixels: np.ndarray) -> np.ndarray:
    """One image as a signature takes it: a batch of one."""
    if input_type == "image_tensor":
        return pixels[np.newaxis]
    if input_type == "float_image_tensor":
        return pixels[np.newaxis].astype(np.float32)
    return np.array([image.record if input_type == "tf_example" else image.encoded], object)


def _ask(ask: Ask, signature: str, request: np.ndarray, outputs: Sequence[str]) -> Outputs:
    answers = ask(signature, request)
    if missing := sorted(set(outputs) - set(answers)):
        raise UserError(f"the SavedModel's {signature} answers without {', '.join(missing)}")
    return answers


def _compare(
    stage: str,
    images: Sequence[SampleImage],
    pixels: Sequence[np.ndarray],
    expected: Sequence[Outputs],
    answers: Sequence[Outputs],
    thresholds: ClassThresholds | None,
) -> Differences:
    """Compares image by image; with thresholds all but what scores so near to its own that rounding decides."""
    compare = compare_raw if stage == BEFORE else compare_detections
    total = Differences()
    for image, array, wanted, found in zip(images, pixels, expected, answers, strict=True):
        sides = (wanted, found)
        if thresholds is not None:
            below = tuple(f"{image.name}: {words}" for words in below_thresholds(found, thresholds))
            total += Differences(unmatched=below)
            sides = comparable(wanted, found, thresholds)
        total += compare(image.name, array.shape[:2], *sides)
    return total
