"""Names of the ways in which a TensorFlow Lite model is made smaller; flags need them without TensorFlow."""

from __future__ import annotations

FLOAT, DYNAMIC_RANGE, FULL_INTEGER = "float", "dynamic_range", "full_integer"
QUANTIZATIONS = (FLOAT, DYNAMIC_RANGE, FULL_INTEGER)
