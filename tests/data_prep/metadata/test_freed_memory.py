"""What is freed is not handed back to the system, which would clear it before it is given out again."""

import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES_OF_A_BLOCK = 8 * 1024 * 1024 // resource.getpagesize()
SCRIPT = """
import resource, sys, threading
from data_prep.metadata.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def take_and_free():
    for _ in range(20):
        blocks = [bytearray(8 * 1024 * 1024) for _ in range(4)]
        del blocks
thread = threading.Thread(target=take_and_free)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread.start()
thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_the_pages_of_a_block_are_taken_from_the_system_once():
    pages = {}
    for what in ("keep", "leave"):
        command = [sys.executable, "-c", SCRIPT, what]
        pages[what] = int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert pages["keep"] < 12 * PAGES_OF_A_BLOCK
    assert pages["leave"] > 3 * pages["keep"]
