"""Reading and checking the parameters that several kinds of augmentation have in common.

Each takes an option's message and returns parameters by name; ValueError says what makes no sense, without the path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def require(condition: bool, otherwise: str) -> None:
    """Raises ValueError with the message `otherwise` unless the condition holds."""
    if not condition:
        raise ValueError(otherwise)


def no_parameters(message: Any) -> dict[str, Any]:
    """For an option whose fields, if any, the function does not take."""
    del message
    return {}


def probability(message: Any) -> dict[str, Any]:
    """Reads `probability`, which must lie between 0 and 1."""
    require(0.0 <= message.probability <= 1.0, f"probability is {message.probability:g}; it must lie between 0 and 1")
    return {"probability": message.probability}


def random_coef(message: Any) -> dict[str, Any]:
    """Reads `random_coef`, the chance that the image stays as it is, which must lie between 0 and 1."""
    require(0.0 <= message.random_coef <= 1.0, f"random_coef is {message.random_coef:g}; it must lie between 0 and 1")
    return {"random_coef": message.random_coef}


def above_zero(name: str) -> Callable[[Any], dict[str, Any]]:
    """Returns a reader of one number that must be above 0."""

    def read(message: Any) -> dict[str, Any]:
        value = getattr(message, name)
        require(value > 0, f"{name} is {value:g}; it must be above 0")
        return {name: value}

    return read


def at_least_one(name: str) -> Callable[[Any], dict[str, Any]]:
    """Returns a reader of one whole number that must be 1 or more."""

    def read(message: Any) -> dict[str, Any]:
        value = getattr(message, name)
        require(value >= 1, f"{name} is {value}; it must be 1 or more")
        return {name: value}

    return read


def interval(smallest: str, largest: str, *, may_be_zero: bool = False) -> Callable[[Any], dict[str, Any]]:
    """Returns a reader of two fields that must be in order, and above 0 (or not below it)."""
    bound = "0 or more" if may_be_zero else "above 0"

    def read(message: Any) -> dict[str, Any]:
        low, high = getattr(message, smallest), getattr(message, largest)
        in_bounds = low >= 0.0 if may_be_zero else low > 0.0
        require(in_bounds and low <= high, f"{smallest} {low:g}, {largest} {high:g}: must be {bound} and in order")
        return {smallest: low, largest: high}

    return read
