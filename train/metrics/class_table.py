"""Metrics by class as a pandas table, of an evaluation's metrics or its metrics.json.

metrics = json.loads(Path("model/eval/metrics.json").read_text())["metrics"]
print(metrics_by_class(metrics).sort_values("DetectionBoxes_PerformanceByCategory/mAP"))
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from data_prep.runtime.command_line import UserError
from data_prep.runtime.missing_packages import how_to_install

if TYPE_CHECKING:
    import pandas as pd

# A class's name may hold anything, slashes too.
_OF_A_CLASS = re.compile(r"(\w+_PerformanceByCategory/[^/]+|\w+/[^/]+ ByCategory)/(.+)", re.DOTALL)


def metrics_by_class(metrics: Mapping[str, float | None]) -> pd.DataFrame:
    """Returns a table with a row a class, in the order of `metrics`, and a float64 column a metric.

    Columns are called as the metrics are, without the class: `DetectionBoxes_PerformanceByCategory/mAP`. What could not
    be measured (null in metrics.json) is NaN.

    Args:
        metrics: Names and values; those that are of no class are left out.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError(f"metrics_by_class needs pandas ({error}): {how_to_install('tables')}") from error
    columns: dict[str, dict[str, float | None]] = {}
    for name, value in metrics.items():
        if match := _OF_A_CLASS.fullmatch(name):
            columns.setdefault(match[1], {})[match[2]] = value
    classes = list(dict.fromkeys(name for values in columns.values() for name in values))
    table = pd.DataFrame(
        {metric: [values.get(name) for name in classes] for metric, values in columns.items()}, index=classes
    )
    return table.astype("float64").rename_axis("class")
