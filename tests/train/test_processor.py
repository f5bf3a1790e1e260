"""oneDNN is on where training asks for it, whatever the processor is."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from data_prep.quiet_tensorflow import quiet_tensorflow
from train.processor import prefer_onednn
prefer_onednn()
quiet_tensorflow()
import tensorflow
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""


def test_onednn_is_on_in_the_order_that_training_starts_in():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True"]
    lines = (ROOT / "train" / "train.py").read_text().splitlines()
    assert lines.index("    prefer_onednn()") < lines.index("    quiet_tensorflow()")
