"""What sets TF_CONFIG under SLURM and in Kubernetes gives each worker a cluster that the training takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from train.loop.cluster import Cluster, read_cluster

FOLDER = Path(__file__).resolve().parents[2] / "train" / "deploy"


def stand_in(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A path on which `scontrol` names two machines, and `python` says what it was called with."""
    stand_in(tmp_path, "scontrol", '[ "$1 $2 $3" = "show hostnames gpu[7-8]" ] && printf "gpu7\\ngpu8\\n"')
    stand_in(tmp_path, "python", 'echo "$TF_CONFIG"; echo "$@"')
    return {"PATH": f"{tmp_path}:{os.environ['PATH']}"}


def run(command: list[str], environment: dict[str, str]) -> tuple[int, list[str], str]:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def slurm(environment: dict[str, str], **more: str) -> tuple[int, list[str], str]:
    step = {"SLURM_STEP_NODELIST": "gpu[7-8]", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NUM_NODES": "2"}
    return run([str(FOLDER / "slurm_worker.sh"), "--model_dir", "my model"], {**environment, **step, **more})


def test_under_slurm_each_task_gets_its_place_among_the_machines(environment):
    code, (tf_config, words), _ = slurm(environment, SLURM_PROCID="1")
    assert code == 0 and words == "-m train.train --model_dir my model"
    assert read_cluster({"TF_CONFIG": tf_config}) == Cluster(("gpu7:12345", "gpu8:12345"), 1)
    _, (tf_config, _), _ = slurm(environment, SLURM_PROCID="0", TRAIN_PORT="4444")
    assert read_cluster({"TF_CONFIG": tf_config}) == Cluster(("gpu7:4444", "gpu8:4444"), 0)


def test_two_tasks_on_a_machine_are_refused_and_so_is_a_shell_without_srun(environment):
    code, _, error = slurm(environment, SLURM_PROCID="0", SLURM_STEP_NUM_TASKS="4")
    assert code == 2 and error == "error: 4 tasks on 2 machines; use srun --ntasks-per-node 1\n"
    code, _, error = run([str(FOLDER / "slurm_worker.sh")], environment)
    assert code != 0 and "this is for srun" in error


def test_in_kubernetes_each_pod_gets_its_place_among_the_jobs_pods(environment):
    service, job = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    spec, name = job["spec"], job["metadata"]["name"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    assert spec["completions"] == spec["parallelism"] == int(variables["WORKERS"]) == 2
    # A pod of an indexed job is called JOB-INDEX, and found as that in the subdomain that its headless service names.
    assert service["spec"]["clusterIP"] == "None" and service["metadata"]["name"] == pod["subdomain"] == name
    assert service["spec"]["selector"] == {"job-name": name}
    code, (tf_config, words), error = run(
        container["command"], {**environment, **variables, "JOB_COMPLETION_INDEX": "1"}
    )
    assert code == 0, error
    port = service["spec"]["ports"][0]["port"]
    addresses = tuple(f"{name}-{index}.{name}:{port}" for index in range(2))
    assert read_cluster({"TF_CONFIG": tf_config}) == Cluster(addresses, 1)
    assert json.loads(tf_config)["task"]["type"] == "worker"
    assert words.startswith("-m train.train --pipeline_config_path /data/pipeline.config --model_dir /data/model")
