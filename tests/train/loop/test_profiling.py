"""The profile of some steps is one that TensorBoard's plugin opens, with each of them marked."""

from __future__ import annotations

import json
from pathlib import Path

import orbit
import pytest
import tensorflow as tf
from xprof.convert import raw_to_tool_data

from data_prep.runtime.command_line import UserError
from train.loop.profiling import ProfiledTrainer, require_profiled


class Multiplier(orbit.StandardTrainer):
    """Multiplies matrices."""

    def __init__(self, step: tf.Variable) -> None:
        super().__init__(tf.data.Dataset.range(100), orbit.StandardTrainerOptions(use_tf_while_loop=False))
        self.global_step = step

    def train_step(self, iterator) -> None:
        matrix = tf.fill([200, 200], tf.cast(next(iterator), tf.float32))
        tf.debugging.assert_all_finite(tf.linalg.matmul(matrix, matrix), "")
        self.global_step.assign_add(1)


def controller(folder: Path, first: int, last: int, said: list[str], every: int = 4) -> orbit.Controller:
    step = orbit.utils.create_global_step()
    profiled = ProfiledTrainer(
        Multiplier(step), global_step=step, first=first, last=last, folder=folder, say=said.append
    )
    return orbit.Controller(
        global_step=step,
        trainer=profiled,
        steps_per_loop=lambda at: profiled.steps_in_loop(int(at), every - int(at) % every),
        train_actions=[lambda results: said.append(f"loop up to {int(step)}")],
    )


def tool(folder: Path, name: str) -> str:
    paths = [str(path) for path in folder.glob("plugins/profile/*/*.xplane.pb")]
    assert len(paths) == 1
    data, _ = raw_to_tool_data.xspace_to_tool_data(paths, name, {})
    return data if isinstance(data, str) else data.decode()


def test_the_plugin_finds_the_steps_that_were_asked_for(tmp_path: Path):
    said: list[str] = []
    controller(tmp_path, 6, 8, said).train(12)
    assert said == [
        "loop up to 4",
        "loop up to 5",
        "loop up to 6",
        "loop up to 7",
        f"profiled up to step 8: tensorboard --logdir {tmp_path}",
        "loop up to 8",
        "loop up to 12",
    ]
    trace = json.loads(tool(tmp_path, "trace_viewer"))
    steps = {event.get("args", {}).get("step_num") for event in trace["traceEvents"]}
    assert steps == {None, "6", "7", "8"}
    assert "MatMul" in json.dumps(trace)
    overview = json.loads(tool(tmp_path, "overview_page"))
    assert [row["c"][0]["v"] for row in overview[1]["rows"]] == ["train 6", "train 7", "train 8"]


def test_a_run_that_ends_on_the_way_leaves_the_profile_of_what_it_made(tmp_path: Path):
    said: list[str] = []
    run = controller(tmp_path, 2, 50, said)
    run.train(5)
    assert not list(tmp_path.glob("plugins/profile/*"))
    run.trainer.close()
    run.trainer.close()
    assert said[-1] == f"profiled up to step 5: tensorboard --logdir {tmp_path}"
    assert "train" in tool(tmp_path, "trace_viewer")


def test_steps_that_the_run_does_not_make_are_refused():
    require_profiled(1, 1, 0, 1)
    require_profiled(5, 300, 240, 250)
    for first, last in ((1, 240), (251, 260)):
        with pytest.raises(UserError, match=f"--profile_steps {first} {last}: this run makes steps 241 to 250"):
            require_profiled(first, last, 240, 250)
