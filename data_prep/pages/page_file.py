"""HTML pages in one file that needs nothing else: a template, a style, scripts and data.

Texts of the data come from anywhere. They are data in the page and never markup: JSON in a script element of a type
that no browser runs, with what could end the element escaped, and put into the page by its scripts as text. The page's
own policy lets nothing run but the scripts that are written here, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

COORDINATE_STEPS = 65535  # of an image's side; a box's edges in a column are whole numbers of them
_PARTS = Path(__file__).resolve().parent / "parts"
_SHARED_SCRIPTS = ("elements.js", "values.js", "frames.js")  # in this order, before a page's own
_SHARED_STYLE = "base.css"
_HEAD = "head.html"  # what all templates begin with
_TAIL = "tail.html"  # and end with: the image at large, the data and the script


def page_pieces(
    folder: Path, scripts: Sequence[str], *, title: str, contents: Mapping[str, str | Iterable[str]]
) -> Iterator[str]:
    """Yields a page's text, piece by piece, so that a large one is never in memory as a whole.

    Args:
        folder: Holds `page.html`, which goes between the head and the tail that all pages have, `page.css` and the
            scripts. In the template, `@@POLICY@@`, `@@TITLE@@`, `@@STYLE@@`, `@@SCRIPT@@` and the names of `contents`
            stand for what they name.
        scripts: Names of files, in the order in which they run, behind those that all pages share.
        title: Of the page.
        contents: Further pieces of the template by name, `DATA` and `THUMBNAILS` among them; see `script_json`.
    """
    style = "\n".join((path / name).read_text(encoding="utf-8") for path, name in _styles(folder))
    paths = [*(_PARTS / name for name in _SHARED_SCRIPTS), *(folder / name for name in scripts)]
    script = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    script = f'"use strict";\n(() => {{\n{script}\n}})();'
    policy = ("default-src 'none'", "img-src data:", f"style-src {_hash(style)}", f"script-src {_hash(script)}")
    parts = {"POLICY": "; ".join(policy), "TITLE": html.escape(title), "STYLE": style, "SCRIPT": script, **contents}
    # One piece after the other, so that no part is looked through for the marks of another.
    templates = (_PARTS / _HEAD, folder / "page.html", _PARTS / _TAIL)
    template = "".join(path.read_text(encoding="utf-8") for path in templates)
    for index, piece in enumerate(template.split("@@")):
        part = parts[piece] if index % 2 else piece
        if isinstance(part, str):
            yield part
        else:
            yield from part


def script_json(content: Any) -> str:
    """Returns `content` as JSON that can stand in a script element, whatever texts are in it."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def encoded_column(values: npt.NDArray[Any], kind: str) -> str:
    """Returns numbers as base64 of their bytes, for the scripts' `column`.

    Args:
        values: Of any shape; row by row.
        kind: NumPy's name of a little-endian type, such as `<u2`.
    """
    return base64.b64encode(np.ascontiguousarray(values.astype(kind)).tobytes()).decode("ascii")


def _styles(folder: Path) -> tuple[tuple[Path, str], ...]:
    return (_PARTS, _SHARED_STYLE), (folder, "page.css")


def _hash(text: str) -> str:
    """Returns a content security policy's source expression for exactly this style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
