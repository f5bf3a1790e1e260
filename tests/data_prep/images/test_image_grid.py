from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from data_prep.images import image_grid


def test_side_by_side_keeps_images_whole_and_captions_readable() -> None:
    left, right = Image.new("RGB", (60, 40), (255, 0, 0)), Image.new("L", (30, 80), 255)
    sheet = image_grid.side_by_side([left, right], ["ground truth", "detections"])
    red = (np.asarray(sheet) == (255, 0, 0)).all(axis=-1)
    rows, columns = np.nonzero(red)
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (80, 120)
    without = image_grid.side_by_side([left, right])
    assert sheet.height > without.height
    assert np.asarray(sheet)[: rows.min() - 2].min() < 120, "a caption stands above"


def test_contact_sheet_lays_out_rows() -> None:
    images = [Image.new("RGB", (40, 30), (0, 0, shade)) for shade in (255, 200, 150)]
    sheet = image_grid.contact_sheet(images, columns=2)
    assert 2 * 40 < sheet.width < 3 * 40
    assert 2 * 30 < sheet.height < 3 * 30
    tall = image_grid.contact_sheet([images[0], Image.new("RGB", (10, 300), (255, 0, 0))], columns=2)
    assert tall.height < 60, "a tall image is fitted into the cell"


def test_sheets_refuse_what_they_cannot_lay_out() -> None:
    with pytest.raises(ValueError, match="no images"):
        image_grid.contact_sheet([], 3)
    with pytest.raises(ValueError, match="at least 1 column"):
        image_grid.contact_sheet([Image.new("RGB", (320, 240))], 0)
    with pytest.raises(ValueError, match="1 images, but 2 captions"):
        image_grid.side_by_side([Image.new("RGB", (320, 240))], ["a", "b"])
