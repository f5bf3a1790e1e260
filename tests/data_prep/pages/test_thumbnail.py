"""Thumbnails: small, and in the frame and the shape that boxes refer to."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from data_prep.pages.thumbnail import thumbnail, thumbnail_of_pixels


def test_a_thumbnail_keeps_the_frame_that_boxes_refer_to():
    pixels = np.zeros((400, 800, 3), np.uint8)
    pixels[:, :400] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # a viewer would turn it on its side
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", exif=turned)
    small = np.asarray(Image.open(io.BytesIO(thumbnail(content.getvalue(), 100, 80))))
    assert small.shape == (50, 100, 3)
    assert small[:, :45].min() > 200
    assert small[:, 55:].max() < 55


def test_pixels_of_another_shape_get_their_images_back_and_are_not_enlarged():
    square = np.zeros((320, 320, 3), np.uint8)
    square[:, :160] = 255
    wide = np.asarray(Image.open(io.BytesIO(thumbnail_of_pixels(square, 200, 80, height=600, width=1200))))
    assert wide.shape == (100, 200, 3)
    assert wide[:, :90].min() > 200
    assert wide[:, 110:].max() < 55
    kept = Image.open(io.BytesIO(thumbnail_of_pixels(square, 4000, 80, height=2000, width=2000)))
    assert kept.size == (320, 320)
