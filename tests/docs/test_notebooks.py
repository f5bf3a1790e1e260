"""The notebooks run from their first cell to their last, and what they keep is what such a run printed."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from tests.notebook_run import run_notebook, texts_of

ROOT = Path(__file__).resolve().parents[2]
OWN_DATA = ROOT / "docs" / "notebooks" / "own_data.ipynb"
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
MAX_BYTES = 1024 * 1024
PLACES_OF_ONE_MACHINE = re.compile(r"(?<![\w.*])/(?:home|root|tmp|work|Users|mnt|opt|usr|var|private)/")
RESIZER = "fixed_shape_resizer { height: 320 width: 320 }"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_what_is_kept_is_of_a_whole_run(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.output_type for cell in cells for output in cell.outputs}
    assert "error" not in kinds
    assert "stream" in kinds
    for text in texts_of(notebook):
        assert not PLACES_OF_ONE_MACHINE.search(text), text
        assert "Traceback" not in text
    for cell in cells:
        if cell.source.startswith("%%bash"):
            assert any(output.output_type == "stream" for output in cell.outputs), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_links_lead_somewhere(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", cell.source):
                assert (path.parent / link).exists(), link


def images_of(notebook: nbformat.NotebookNode) -> list[Image.Image]:
    shown = [
        output.data.get("image/jpeg")
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "data" in output
    ]
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in shown if content]


def test_the_detector_that_is_kept_has_learnt_something() -> None:
    notebook = nbformat.read(OWN_DATA, as_version=4)
    (average_precision,) = set(
        re.findall(r"step 240, on 30 images:(?:.|\n)*?mAP@\.50IOU +([\d.]+)", "".join(texts_of(notebook)))
    )
    assert float(average_precision) > 0.5
    assert len(images_of(notebook)) == 2


def test_own_data_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = (ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config").read_text()
    assert RESIZER in recipe
    (tmp_path / "small.config").write_text(recipe.replace(RESIZER, RESIZER.replace("320", "128")))
    settings = {"FOLDER": tmp_path / "data", "RECIPE": tmp_path / "small.config", "NUM_IMAGES": 8, "NUM_STEPS": 2}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    notebook = run_notebook(OWN_DATA)
    text = "".join(texts_of(notebook))
    assert "train: 6 images with" in text
    assert "step 2, on 2 images" in text
    assert "version 1 for serving" in text
    assert len(images_of(notebook)) == 2
    assert (tmp_path / "data" / "serving_models" / "1" / "saved_model.pb").is_file()
