"""The best checkpoint of a run, kept beside the newest ones: `MODEL_DIR/best/ckpt-STEP` and `best/metrics.json`."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from train.metrics.report import write_metrics_json

BEST_FOLDER = "best"
METRICS_NAME = "metrics.json"


class BestCheckpoint:
    """Keeps one checkpoint, of the step whose evaluation was the best."""

    def __init__(self, model_dir: Path, checkpoint: tf.train.Checkpoint, checkpoint_name: str) -> None:
        """Writes nothing yet.

        Args:
            model_dir: The run's folder.
            checkpoint: What is saved, all of it: training can go on from the best, too.
            checkpoint_name: What files begin with.
        """
        self._folder = model_dir / BEST_FOLDER
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(self._folder), max_to_keep=1, checkpoint_name=checkpoint_name
        )

    def save(self, step: int, metrics: dict[str, float], metric: str) -> str:
        """Saves the network as it stands in place of the best so far.

        Args:
            step: Where training is.
            metrics: What the evaluation found.
            metric: The one by which it is the best.

        Returns:
            The checkpoint's prefix.
        """
        path = self._manager.save(checkpoint_number=step, check_interval=False)
        write_metrics_json(self._folder / METRICS_NAME, metrics, {"step": step, "source": path, "best_by": metric})
        return str(path)
