from __future__ import annotations

from collections import Counter

import polars as pl
import pytest

from data_prep.metadata.class_choice import EXCLUDE, ONLY, BoxFilters
from data_prep.metadata.open_images import BOX_FLAG_COLUMNS


def boxes(*rows):
    """Returns boxes of confidence, x0, x1, y0, y1 and the names of the flags that are set."""
    columns = ("Confidence", "XMin", "XMax", "YMin", "YMax", *BOX_FLAG_COLUMNS)
    return pl.DataFrame(
        [(*numbers, *(column in flags for column in BOX_FLAG_COLUMNS)) for *numbers, flags in rows],
        schema=columns,
        orient="row",
    ).with_row_index("number")


ROWS = boxes(
    (1.0, 0.0, 0.5, 0.0, 0.5, ()),
    (1.0, 0.1, 0.3, 0.1, 0.9, ("IsGroupOf",)),
    (0.4, 0.0, 1.0, 0.0, 0.05, ("IsOccluded", "IsGroupOf")),
    (1.0, 0.2, 0.9, 0.2, 0.9, ("IsDepiction",)),
)


@pytest.mark.parametrize(
    ("filters", "kept", "dropped"),
    [
        (BoxFilters(), [0, 1, 2, 3], {}),
        (BoxFilters({"is_group_of": EXCLUDE}), [0, 3], {"is_group_of": 2}),
        (BoxFilters({"is_group_of": ONLY}), [1, 2], {"not is_group_of": 2}),
        (BoxFilters({"is_occluded": EXCLUDE, "is_group_of": ONLY}), [1], {"is_occluded": 1, "not is_group_of": 2}),
        (BoxFilters({"is_inside": ONLY}), [], {"not is_inside": 4}),
        (BoxFilters(min_confidence=0.5), [0, 1, 3], {"confidence below 0.5": 1}),
        # 0.3 - 0.1 is a hair less than 0.2: a box of just the least side stays.
        (BoxFilters(min_side=0.2), [0, 1, 3], {"side below 0.2": 1}),
        (BoxFilters(min_side=0.21), [0, 3], {"side below 0.21": 2}),
        (BoxFilters(min_area=0.16), [0, 1, 3], {"area below 0.16": 1}),
        (BoxFilters(min_area=0.3), [3], {"area below 0.3": 3}),
    ],
)
def test_boxes_that_nobody_wants_are_dropped_and_counted(filters, kept, dropped):
    counts = Counter()
    assert filters.apply(ROWS, counts)["number"].to_list() == kept
    assert counts == dropped
