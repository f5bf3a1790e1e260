"""Settings of the input: which records are read, in which order, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import PurePath

from configs.schema.problem import Problem
from configs.settings.declaration import Settings, between, choice
from configs.settings.reasons import BOXES_ONLY, CONTEXT
from configs.settings.values import Number, items, number, scalar

# Of more, no machine holds them.
_MOST_BOXES = 1_000_000  # an image
_LARGEST_SHUFFLE_BUFFER = 10_000_000  # records; TensorFlow makes room for all of them beforehand, or ends the process
_MOST_PREFETCHED = 10_000  # batches
_MULTICLASS = ("soft class targets are not read", "delete it: classes come from image/object/class/label")
_TF_DATA = "tf.data tunes itself"
_NO_KEYPOINTS = "keypoints are not read"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TFRecordInputReader(Settings, message="TFRecordInputReader"):
    """Files of records.

    Attributes:
        input_path: Paths, globs, or `name@N`.
    """

    input_path: tuple[str, ...] = items(at_least_one=True, instead="name the records, or a glob")

    def problems(self) -> Iterator[Problem]:
        """Yields a problem for each path that is empty."""
        for index, path in enumerate(self.input_path):
            if not path:
                yield Problem(f"input_path[{index}]", "is empty", "name the records, or a glob")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputReader(Settings, message="InputReader"):
    """The input of training or of an evaluation."""

    no_effect = {
        "num_parallel_batches": _TF_DATA,
        "queue_capacity": _TF_DATA,
        "min_after_dequeue": _TF_DATA,
        "prefetch_size": _TF_DATA,
        "num_parallel_map_calls": _TF_DATA,
        "num_keypoints": _NO_KEYPOINTS,
        "keypoint_type_weight": _NO_KEYPOINTS,
        "load_keypoint_depth_features": _NO_KEYPOINTS,
        "use_keypoint_label_map": _NO_KEYPOINTS,
        "mask_type": "masks are not read",
        "include_source_id": "the source id is always read",
        "use_display_name": "classes are looked up among names and display names",
        "frame_index": "it goes with input_type: TF_SEQUENCE_EXAMPLE",
    }
    refused = {
        "load_multiclass_scores": _MULTICLASS,
        "load_context_features": CONTEXT,
        "load_context_image_ids": CONTEXT,
        "load_instance_masks": BOXES_ONLY,
        "load_dense_pose": BOXES_ONLY,
        "load_track_id": BOXES_ONLY,
    }

    name: str = scalar()
    label_map_path: str = scalar()
    shuffle: bool = scalar()
    shuffle_buffer_size: int = number(at_most=_LARGEST_SHUFFLE_BUFFER)
    filenames_shuffle_buffer_size: int = number()
    num_epochs: int = number()
    sample_1_of_n_examples: int = number(at_least=1, reason="leaves no records", instead="use 1 or more")
    num_readers: int = number()
    num_prefetch_batches: int = number(at_least=-1, at_most=_MOST_PREFETCHED)
    read_block_length: int = number()
    drop_remainder: bool = scalar()
    expand_labels_hierarchy: bool = scalar()
    num_additional_channels: int = scalar(
        only=(0,), reason="images have 3 channels", instead="use num_additional_channels: 0"
    )
    max_number_of_boxes: int = number(at_least=1, at_most=_MOST_BOXES)
    input_type: str = scalar(only=("TF_EXAMPLE", "INPUT_DEFAULT"), reason="records hold tf.Example")
    input_reader: TFRecordInputReader = choice(
        inline=True,
        missing="has no input",
        required='use tf_record_input_reader { input_path: "train.record-*" }',
        refused={
            "external_input_reader": ("readers of somebody's own are not supported", "use tf_record_input_reader")
        },
        alternatives={"tf_record_input_reader": TFRecordInputReader},
    )
    sample_from_datasets_weights: tuple[float, ...] = items(Number(at_least=0.0))

    @property
    def input_paths(self) -> tuple[str, ...]:
        """The records, as written: paths, globs, or `name@N`."""
        return self.input_reader.input_path

    def problems(self) -> Iterator[Problem]:
        """Yields a problem where the weights do not go with the paths."""
        weights, paths = self.sample_from_datasets_weights, self.input_paths
        if weights and len(weights) != len(paths):
            reason = f"{len(weights)} weights for {len(paths)} input_path"
            yield Problem("sample_from_datasets_weights", reason, "give one weight to each")
        elif weights and not any(weights):
            yield Problem("sample_from_datasets_weights", "are shares", "use 0 or more, and not 0 for all")

    def check_folder_name(self) -> Iterator[Problem]:
        """Yields a problem where `name`, of an evaluation's input, cannot name the folder of its results."""
        if self.name and (self.name in (".", "..") or PurePath(self.name).name != self.name):
            yield Problem("name", f'"{self.name}" cannot name the folder of its results', "leave out slashes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassAwareSampling(Settings, message="ClassAwareSampling"):
    """Rare classes are shown more often.

    Attributes:
        max_repeats: No record comes more often in a pass.
    """

    max_repeats: int = number(at_least=1, reason="is none", instead="use 1 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordCache(Settings, message="RecordCache"):
    """Training's encoded records are kept near.

    Attributes:
        directory: Where copies of the files are kept; of `place: DISK` alone.
    """

    place: str = scalar()
    directory: str = scalar()

    @between("place", "directory")
    def _is_the_directory_of_the_disk(self) -> Iterator[Problem]:
        if self.place == "DISK" and not self.directory:
            yield Problem("directory", "is empty", "name a folder on a disk of this machine")
        elif self.place == "MEMORY" and self.directory:
            yield Problem("directory", f"{self.unset('place')}place is MEMORY, which has none", "use place: DISK")
