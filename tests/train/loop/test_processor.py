"""TensorFlow as training wants it: with oneDNN, whatever the processor is, and without what training does not use."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.loop.processor import garbage_kept

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
from train.loop.processor import prepare_tensorflow
prepare_tensorflow()
import tensorflow
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""

# As train.train, with a network of the Object Detection API's; what is not used is importable none the less.
STARTING = """
import gc, sys
from train.loop.processor import prepare_tensorflow
prepare_tensorflow()
import train.loop.run
from tests import small_models
from train.models.build import build_detector
build_detector(getattr(small_models, sys.argv[1])())
names = ["tensorflow_datasets", "official.vision", "official.legacy", "pandas", "scipy", "googleapiclient"]
names += ["matplotlib", "sklearn", "keras"]
print([name for name in names if name in sys.modules], gc.isenabled(), gc.get_freeze_count() > 100_000)
import scipy.linalg, pandas
"""


def test_onednn_is_on_once_tensorflow_is_prepared():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize("settings", ["ssd_settings", "faster_rcnn_settings"])
def test_a_run_starts_without_the_packages_that_it_does_not_use(settings: str):
    command = [sys.executable, "-c", STARTING, settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[] True True\n"


def test_garbage_is_looked_for_again_even_after_an_error():
    with pytest.raises(ValueError), garbage_kept(), garbage_kept():
        assert not gc.isenabled()
        raise ValueError
    assert gc.isenabled()
    gc.disable()
    try:
        with garbage_kept():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
