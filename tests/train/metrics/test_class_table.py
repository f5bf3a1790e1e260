"""Metrics by class as a pandas table."""

from __future__ import annotations

import math
import sys

import pytest

from data_prep.runtime.command_line import UserError
from train.metrics.class_table import metrics_by_class

METRICS = {
    "DetectionBoxes_Precision/mAP": 0.5,
    "DetectionBoxes_PerformanceByCategory/mAP/Bed": 0.7,
    "DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Bed": 1.0,
    "DetectionBoxes_PerformanceByCategory/mAP/Cup/mug": None,
    "DetectionBoxes_Recall/AR@100 (small) ByCategory/Bed": 0.25,
    "Loss/total_loss": 2.0,
}


def test_a_row_a_class_and_a_column_a_metric():
    table = metrics_by_class(METRICS)
    assert table.index.tolist() == ["Bed", "Cup/mug"]
    assert table.columns.tolist() == [
        "DetectionBoxes_PerformanceByCategory/mAP",
        "DetectionBoxes_PerformanceByCategory/mAP@.50IOU",
        "DetectionBoxes_Recall/AR@100 (small) ByCategory",
    ]
    assert table.loc["Bed"].tolist() == [0.7, 1.0, 0.25]
    assert all(math.isnan(value) for value in table.loc["Cup/mug"])
    assert len(metrics_by_class({"Loss/total_loss": 2.0})) == 0


def test_pandas_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="metrics_by_class needs pandas"):
        metrics_by_class(METRICS)
