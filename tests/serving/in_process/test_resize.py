"""The NumPy resizing against TensorFlow's first kernel, by which detectors are trained."""

import numpy as np
import pytest
import tensorflow as tf

from serving.in_process.resize import resize_bilinear


@pytest.mark.parametrize("size", [(96, 96), (33, 200), (50, 70), (120, 31)])
def test_it_resizes_as_tensorflow_does(size):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.float32)
    expected = tf.compat.v1.image.resize_bilinear(pixels[np.newaxis], size)[0].numpy()
    found = resize_bilinear(pixels, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
