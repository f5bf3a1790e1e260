"""glibc's arenas, counted by glibc itself in a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving.serve import bound_arenas

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import ctypes, sys, threading
from serving.serve import bound_arenas
if sys.argv[1] == "bounded":
    assert bound_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(40)
def work():
    barrier.wait()  # all at the same time, so that none finds another's arena free
    libc.malloc(ctypes.c_size_t(5000))
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(40)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_many_threads_share_one_arena_a_core(tmp_path):
    counts = {}
    for how in ("bounded", "free"):
        file = tmp_path / how
        environment = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}
        subprocess.run([sys.executable, "-c", PROGRAM, how, str(file)], check=True, cwd=REPOSITORY, env=environment)
        counts[how] = file.read_text().count("<heap nr=")
    cores = os.cpu_count() or 1
    assert counts["bounded"] <= max(2, cores)
    assert counts["free"] > counts["bounded"] or cores >= 40


def test_what_a_person_has_set_goes_before(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    assert bound_arenas() is False
