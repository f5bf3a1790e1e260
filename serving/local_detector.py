"""`LocalDetector`: a SavedModel or a `.tflite` file in one's own program, with the calls and answers of the client.

    from serving.local_detector import LocalDetector

    with LocalDetector("exported/saved_model") as detector:     # or a version folder, a model's base path, a .tflite
        for detection in detector.detect("photo.jpg").detections:
            print(detection.name, detection.score, detection.box_pixels)
        for found in detector.detect_many(paths): ...           # in order; an image that fails costs the others nothing

An answer is the `ImageDetections` that `DetectionClient` gives. A SavedModel needs TensorFlow, a `.tflite` file LiteRT:
both are in the extra [serve].
"""

from __future__ import annotations

import os
from pathlib import Path

from data_prep.formats.label_map import LabelMap
from data_prep.runtime.command_line import UsageError
from serving.client_library.channels import SERVING_DEFAULT
from serving.client_library.detections import BY_THE_MODEL, MinScore
from serving.in_process.detector import InProcessDetector, Model
from serving.in_process.saved_model import SavedModel, label_map_of
from serving.in_process.tflite import TfliteModel
from train.evaluation.saved_model_folder import find_saved_model

__all__ = ["LocalDetector"]

TFLITE = ".tflite"


class LocalDetector(InProcessDetector):
    """Runs one exported detector. Any thread may call its methods."""

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        *,
        label_map: LabelMap | None = None,
        min_score: MinScore = BY_THE_MODEL,
        batch_size: int = 8,
        max_in_flight: int = 2,
        signature_name: str = SERVING_DEFAULT,
        device: str = "auto",
        normalization: tuple[float, float] | None = None,
    ) -> None:
        """Loads the model.

        Args:
            model_path: The folder of `saved_model.pb`, an export's folder that holds it as `saved_model/`, a base path,
                of which the newest version is taken, or a `.tflite` file.
            label_map: Names the classes; None for the export's own.
            min_score: Weaker detections are left out; without it, those below the thresholds that the model was
                exported with, or below 0.5 where there are none.
            batch_size: Images that go through the model together, where it takes several.
            max_in_flight: Batches of `detect_many` that are read, run, or waited for at the same time.
            signature_name: Which of a SavedModel's signatures.
            device: `auto` takes a GPU where there is one, `cpu` leaves it alone, `gpu` insists on one.
            normalization: Mean and deviation by which a `.tflite` of others wants 0..255 normalised, such as (127.5,
                127.5); those that this project wrote say it themselves.

        Raises:
            UserError: TensorFlow or LiteRT is not installed, or the model cannot be loaded.
            UsageError: There is no model, or it is no detector.
        """
        path = Path(model_path)
        if path.suffix == TFLITE:
            tflite = TfliteModel(path, normalization=normalization)
            model: Model = tflite
            label_map = label_map or tflite.label_map
        else:
            folder = find_saved_model(path)
            if folder is None:
                raise UsageError(
                    f"{path} holds no SavedModel (saved_model.pb, saved_model/ or a version) and is no {TFLITE} file"
                )
            model = SavedModel(folder, signature_name=signature_name, device=device)
            label_map = label_map or label_map_of(folder)
        super().__init__(
            model, label_map=label_map, min_score=min_score, batch_size=batch_size, max_in_flight=max_in_flight
        )
