"""The settings of a run that every worker receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data_prep.downloading.http_download import DownloadLimits
from data_prep.records.record_policies import RecordPolicies


@dataclass(frozen=True)
class WorkSettings:
    """What is done to each image.

    Attributes:
        label_ids: The label map: ids by label. Annotations of other labels are left out.
        policies: What of an image's annotations goes into its record.
        num_shards: An image belongs to shard `key % num_shards`.
        max_dimension: The longest side, in pixels, that is kept.
        min_dimension: The shortest side, in pixels, below which an image is rejected.
        limits: Bounds on what is fetched.
        num_threads: Images that each of a worker's threads has on the way at a time.
        max_connections_per_host: How many of these from one host.
        saved_images: The folder where sound images of this `max_dimension` are kept as ID.jpg, and looked for
            before they are fetched; empty for none.
    """

    label_ids: Mapping[str, int]
    policies: RecordPolicies
    num_shards: int
    max_dimension: int
    min_dimension: int
    limits: DownloadLimits
    num_threads: int
    max_connections_per_host: int
    saved_images: str = ""
