"""Detector in this process, from a SavedModel: the same calls and answers as `DetectionClient`, without a server.

TensorFlow is imported when a model is loaded, and not before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from data_prep.formats.label_map import LabelMap
from data_prep.images.image_file import MAX_BYTES, ImageError
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.quiet_tensorflow import quiet_tensorflow
from serving.client_library.channels import SERVING_DEFAULT
from serving.client_library.client_errors import ImageRequestError
from serving.client_library.detections import (
    OUTPUT_NAMES,
    THRESHOLDS,
    Failure,
    ImageDetections,
    MinScore,
    least_score,
    read_detections,
)
from serving.client_library.image_batches import BatchMember, ImageBatch
from serving.client_library.image_requests import INPUT_NAME, ImageSource, encoded_array, not_a_detector, pixels_of
from serving.wire.tensors import DT_STRING, DT_UINT8, type_name

DEVICES = ("auto", "cpu", "gpu")
MAX_PIXEL_BYTES = 3 * 100_000_000  # of an image whose pixels are handed over


class SavedModelDetector:
    """Runs one SavedModel. Images are read in threads while the model is at work on those before.

    Attributes:
        batch_size: Images that go through the model together, where it takes several.
        device: What it runs on, in words such as `CPU` or `NVIDIA H100`.
        has_thresholds: Whether the model leaves out itself what is below its class's threshold.
    """

    def __init__(
        self,
        saved_model_dir: Path,
        *,
        label_map: LabelMap | None = None,
        signature_name: str = SERVING_DEFAULT,
        min_score: MinScore = 0.0,
        batch_size: int = 8,
        max_in_flight: int = 2,
        device: str = "auto",
    ) -> None:
        """Loads the model.

        Args:
            saved_model_dir: The folder that holds `saved_model.pb`.
            label_map: Names the classes.
            signature_name: Which of its signatures.
            min_score: Weaker detections are left out; `ThresholdsOr` leaves it to a model that has thresholds.
            batch_size: Images that go through the model together.
            max_in_flight: Batches that are read, run, or waited for at the same time.
            device: `auto` takes a GPU where there is one, `cpu` leaves it alone, `gpu` insists on one.

        Raises:
            UserError: TensorFlow is not installed, the model cannot be loaded, or there is no GPU.
            UsageError: There is no such signature, or it is no detector's.
        """
        quiet_tensorflow()
        try:
            import tensorflow as tf
        except ImportError as error:
            raise UserError(
                f"a SavedModel in this process needs TensorFlow ({error}): pip install 'tensorflow==2.20.*', or ask a "
                "server with --server and --model_name"
            ) from error
        from serving.saved_models.loaded_model import LoadedModel, ModelLoadError

        gpus = tf.config.list_physical_devices("GPU") if device != "cpu" else []
        if device == "gpu" and not gpus:
            raise UserError("TensorFlow sees no GPU here; install tensorflow[and-cuda], or use --device cpu")
        self.device = (
            str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")) if gpus else "CPU"
        )
        try:
            self._model = LoadedModel(0, saved_model_dir, hide_gpus=device == "cpu")
        except ModelLoadError as error:
            raise UserError(str(error)) from error
        self._signature, self._takes_encoded = self._check_signature(saved_model_dir, signature_name)
        self._label_map = label_map
        self._min_score = least_score(min_score, has_thresholds=self.has_thresholds)
        self._max_in_flight = max_in_flight
        self.batch_size = batch_size

    def detect_many(self, images: Iterable[ImageSource]) -> Iterator[ImageDetections]:
        """Yields what is in each image, in the order given; a failure is yielded and costs the others nothing.

        Only a few batches are in memory at a time, however many images there are.

        Args:
            images: Encoded images' bytes, or paths; taken as they are needed.
        """
        source = iter(images)
        waiting: deque[Future[list[ImageDetections]]] = deque()
        pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="detect")
        try:
            while True:
                while len(waiting) <= self._max_in_flight and (batch := list(islice(source, self.batch_size))):
                    waiting.append(pool.submit(self.detect_batch, batch))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def detect_batch(self, sources: Sequence[ImageSource]) -> list[ImageDetections]:
        """Returns what is in some images, in one run of the model; where it refuses them, in one run each."""
        batch = ImageBatch(sources, MAX_BYTES, one_by_one=not self._takes_several)
        for group in batch.groups():
            try:
                answers = self._run(group)
            except ImageRequestError as error:
                batch.refuse(group, error.failure)
            else:
                batch.answer(group, answers)
        return batch.results

    def close(self) -> None:
        """Frees the model."""
        self._model.close()

    def __enter__(self) -> SavedModelDetector:
        """Returns the detector."""
        return self

    def __exit__(self, *error: object) -> None:
        """Frees the model."""
        self.close()

    def _run(self, group: Sequence[BatchMember]) -> list[ImageDetections]:
        """Runs the model once; raises ImageError where the images do not decode, or it refuses them."""
        from serving.saved_models.status_errors import StatusError

        images = [member.image for member in group]
        try:
            inputs = encoded_array(images) if self._takes_encoded else pixels_of(images[0], MAX_PIXEL_BYTES)
            outputs = self._model.run(self._signature, {INPUT_NAME: inputs}, list(OUTPUT_NAMES))
        except ImageError as error:
            raise ImageRequestError(Failure(error.reason, error.detail)) from error
        except StatusError as error:
            raise ImageRequestError(Failure("refused by the model", error.message)) from error
        answers = []
        for position, (_, name, image) in enumerate(group):
            size = (image.width, image.height)
            found = read_detections(outputs, position, size, label_map=self._label_map, min_score=self._min_score)
            answers.append(ImageDetections(name, *size, found))
        return answers

    def _check_signature(self, saved_model_dir: Path, name: str) -> tuple[object, bool]:
        signatures = self._model.signatures
        if name not in signatures:
            raise UsageError(f"{saved_model_dir} has no signature {name!r}; it has: {', '.join(sorted(signatures))}")
        signature = signatures[name]
        if reason := not_a_detector(name, signature):
            raise UsageError(f"{saved_model_dir} {reason}")
        self.has_thresholds = THRESHOLDS in signature.outputs
        tensor = signature.inputs[INPUT_NAME]
        if tensor.dtype not in (DT_STRING, DT_UINT8):
            raise UsageError(
                f"{saved_model_dir} takes {type_name(tensor.dtype)}; export with --input_type "
                "encoded_image_string_tensor or image_tensor"
            )
        sizes = [dimension.size for dimension in tensor.tensor_shape.dim]
        # Pixels of images of several sizes do not go into one array.
        self._takes_several = tensor.dtype == DT_STRING and (not sizes or sizes[0] == -1)
        return signature, tensor.dtype == DT_STRING
