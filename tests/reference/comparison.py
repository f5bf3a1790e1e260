"""All comparisons of a model with its reference."""

from __future__ import annotations

from collections.abc import Iterator

from tests.reference import faster_rcnn, ssd
from tests.reference.folder import BATCHES, OTHER_CONFIG, ReferenceFolder
from tests.reference.inference import build_with_weights, resized
from tests.reference.labels import labels_of
from tests.reference.training import compare_gradients, compare_regularization, compare_steps
from tests.reference.verdict import Comparison, with_prefix
from train.models.faster_rcnn import FasterRcnnDetector
from train.models.ssd import SsdDetector


def compare_model(folder: ReferenceFolder, *, training: bool = True) -> Iterator[Comparison]:
    """Builds the folder's model, gives it the folder's weights, and compares it stage by stage.

    Args:
        folder: The reference.
        training: Whether gradients and steps are compared too, which takes most of the time.

    Raises:
        ValueError: The model has other variables than the folder.
    """
    detector, variables = build_with_weights(folder, folder.config())
    assert isinstance(detector, (SsdDetector, FasterRcnnDetector))
    yield Comparison("variables", 0.0, 0.0, True, f"{len(variables)} assigned by path")
    for batch in BATCHES:
        yield from with_prefix(batch, _compare_inference(detector, folder, batch))
    family = ssd if isinstance(detector, SsdDetector) else faster_rcnn
    yield from family.compare_losses(detector, folder)
    yield compare_regularization(detector, folder)
    if (folder.path / OTHER_CONFIG).is_file():
        other, _ = build_with_weights(folder, folder.config(OTHER_CONFIG))
        assert isinstance(other, (SsdDetector, FasterRcnnDetector))
        yield from with_prefix("TPU flags", _compare_inference(other, folder, "batch"))
    if not training:
        return
    if isinstance(detector, FasterRcnnDetector):
        yield from compare_gradients(faster_rcnn.deterministic_losses(detector, folder), folder, variables)
    else:
        images, true_shapes = resized(folder, "batch", detector.settings.image_resizer)
        labels = labels_of(folder.arrays["batch"], true_shapes)
        yield from compare_steps(detector, folder, variables, images, labels)


def _compare_inference(
    detector: SsdDetector | FasterRcnnDetector, folder: ReferenceFolder, batch: str
) -> Iterator[Comparison]:
    if isinstance(detector, SsdDetector):
        yield from ssd.compare_inference(detector, folder, batch)
    else:
        yield from faster_rcnn.compare_inference(detector, folder, batch)
