"""Colour profiles (ICC, version 2) that tests make up, and what their colours are in sRGB, by their matrices."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

# Red, green and blue in XYZ (D50), a row a colour.
SRGB = np.array([[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.71410]])
DISPLAY_P3 = np.array([[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]])
ADOBE_RGB = np.array([[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]])
GAMMA = 2.2


def _tag_of_number(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _profile(kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    white = b"".join(map(_tag_of_number, (0.9642, 1.0, 0.8249)))
    header = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(data), bytes(4), 0x02400000, b"mntr", kind, b"XYZ ", bytes(12), b"acsp"
    )
    header = (header + bytes(28) + white).ljust(128, b"\0")
    return header + table + data


def _texts_and_white() -> dict[bytes, bytes]:
    return {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(_tag_of_number, (0.9642, 1.0, 0.8249))),
    }


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(primaries: npt.NDArray[np.float64], gamma: float = GAMMA) -> bytes:
    """A profile of RGB pixels, its curve a power."""
    tags = _texts_and_white()
    for name, colour in zip((b"r", b"g", b"b"), primaries, strict=True):
        tags[name + b"XYZ"] = b"XYZ " + bytes(4) + b"".join(map(_tag_of_number, colour))
        tags[name + b"TRC"] = _curve(gamma)
    return _profile(b"RGB ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey pixels."""
    return _profile(b"GRAY", _texts_and_white() | {b"kTRC": _curve(gamma)})


def in_srgb(colour: npt.ArrayLike, primaries: npt.NDArray[np.float64], gamma: float = GAMMA) -> npt.NDArray[np.float64]:
    """Returns colours (0 to 255, [..., 3]) of `rgb_profile` in sRGB."""
    linear = (np.asarray(colour, float) / 255) ** gamma @ primaries @ np.linalg.inv(SRGB)
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
