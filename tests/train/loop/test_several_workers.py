"""Several processes of one training: one that dies, one that is stopped, and ones that do not belong together."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UsageError
from tests.train.loop.training_processes import Workers
from train.train import main


def words(config: Path, model_dir: Path, *more: str) -> list[str]:
    return [
        *("--pipeline_config_path", str(config), "--model_dir", str(model_dir), "--no_evaluation"),
        *("--log_every_n", "1", "--checkpoint_every_n", "2", "--num_train_steps", "100000", *more),
    ]


def wait_for(workers: Workers, text: str, timeout_seconds: float = 240.0) -> None:
    """Waits until the chief has printed a text."""
    deadline = time.monotonic() + timeout_seconds
    while text not in workers.logs[0].read_text():
        assert time.monotonic() < deadline and workers.processes[0].poll() is None, "\n\n".join(workers.outputs())
        time.sleep(0.2)


def test_a_killed_worker_ends_the_others_in_a_line_and_the_same_commands_go_on(block_config, tmp_path):
    config, model_dir = block_config("ssd"), tmp_path / "model"
    workers = Workers([words(config, model_dir)] * 2, tmp_path)
    try:
        wait_for(workers, "step 4: saved")
        workers.processes[1].kill()
        assert workers.processes[0].wait(60) == 1
    finally:
        workers.kill()
    last = workers.outputs()[0].splitlines()[-1]
    assert last.startswith(f"error: worker 1 ({workers.addresses[1]}) is gone (its own output says why); run the same")
    assert "Traceback" not in workers.outputs()[0]
    checkpoint = last.split()[-1]
    step = int(checkpoint.rpartition("-")[2])
    again = Workers([words(config, model_dir)] * 2, tmp_path)
    try:
        wait_for(again, f"step {step + 2}: saved")
        assert f"going on from {checkpoint}, step {step}, on mirrored over several machines" in again.outputs()[1]
        # One is asked to stop, and all do, after the same step.
        again.processes[1].send_signal(signal.SIGTERM)
        assert again.wait(60) == [143, 143]
    finally:
        again.kill()
    stopped = again.outputs()[0].splitlines()[-1]
    at = int(stopped.split("at step ")[1].split(":")[0])
    assert stopped.startswith("stopped by SIGTERM at step ") and (model_dir / f"ckpt-{at}.index").is_file()


def test_workers_that_do_not_belong_together_are_told_before_the_first_step(block_config, tmp_path):
    ours = words(block_config("ssd"), tmp_path / "model")
    other = ("--config_override", "train_config { gradient_clipping_by_norm: 3.0 }", "--seed", "1")
    workers = Workers([ours, [*ours, *other]], tmp_path)
    assert workers.wait(200) == [2, 2]
    one, two = (f"worker {index} ({address})" for index, address in enumerate(workers.addresses))
    for output in workers.outputs():
        assert f"error: {two} has another pipeline config and another set of flags than {one}" in output
        assert "Traceback" not in output
    assert not list((tmp_path / "model").glob("ckpt*"))


def test_workers_with_folders_of_their_own_are_told_before_the_first_step(block_config, tmp_path):
    config = block_config("ssd")
    workers = Workers([words(config, tmp_path / "here"), words(config, tmp_path / "there")], tmp_path)
    assert workers.wait(200) == [2, 2]
    one, two = (f"worker {index} ({address})" for index, address in enumerate(workers.addresses))
    for output in workers.outputs():
        assert f"of {one} is not that of {two}: all workers need one folder" in output


@pytest.mark.parametrize("words_more", [("--strategy", "one_device"), ("--virtual_devices", "2")])
def test_a_strategy_for_one_process_is_refused_in_a_cluster(block_config, tmp_path, words_more, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", '{"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}'
    )
    with pytest.raises(UsageError, match=rf"{words_more[0]}.*TF_CONFIG"):
        main(words(block_config("ssd"), tmp_path, *words_more))
