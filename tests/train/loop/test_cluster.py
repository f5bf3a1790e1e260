"""TF_CONFIG, as launchers write it, and as it should not be."""

from __future__ import annotations

import json
import socket

import pytest

from data_prep.runtime.command_line import UsageError
from train.loop.cluster import Cluster, read_cluster

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def read(cluster: object, kind: object = "worker", index: object = 0) -> Cluster | None:
    return read_cluster({"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})})


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": " \n"}])
def test_without_the_variable_there_is_no_cluster(environment):
    assert read_cluster(environment) is None


def test_a_worker_alone_is_no_cluster():
    assert read({"worker": TWO[:1]}) is None


def test_workers_are_numbered_from_the_chief():
    assert read({"worker": TWO}, index=1) == Cluster(tuple(TWO), 1)
    with_chief = {"chief": ["10.0.0.9:1"], "worker": TWO}
    assert read(with_chief, "chief") == Cluster(("10.0.0.9:1", *TWO), 0)
    # What Kubeflow writes: a worker's index counts from 0 beside the chief's.
    assert read(with_chief, "worker", 1) == Cluster(("10.0.0.9:1", *TWO), 2)
    assert read({"master": ["10.0.0.9:1"], "worker": TWO}, "master") == Cluster(("10.0.0.9:1", *TWO), 0)
    assert read({"worker": TWO}, index="1") == Cluster(tuple(TWO), 1)


def test_tensorflow_is_given_workers_alone():
    cluster = Cluster(("chief:1", "other:2"), 1)
    written = json.loads(cluster.to_tf_config())
    assert written == {"cluster": {"worker": ["chief:1", "other:2"]}, "task": {"type": "worker", "index": 1}}
    assert not cluster.is_chief and cluster.num_workers == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker-0:2222", "TF_CONFIG is no JSON"),
        ("[]", "TF_CONFIG should be as"),
        ('{"task": {"type": "worker", "index": 0}}', "TF_CONFIG.cluster does not say"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "TF_CONFIG.task does not say"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_with_an_example(text, message):
    with pytest.raises(UsageError, match=message) as raised:
        read_cluster({"TF_CONFIG": text})
    assert "\n" not in str(raised.value) and '"task": {"type": "worker", "index": 0}' in str(raised.value)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "message"),
    [
        ({"worker": TWO}, "worker", 2, "task.index is 2, but of worker the cluster has 0 to 1"),
        ({"worker": TWO}, "worker", -1, "task.index is -1"),
        ({"worker": TWO}, "worker", True, "task.index is True"),
        ({"worker": TWO}, "worker", None, "task.index is None"),
        ({"worker": TWO}, "chief", 0, "of chief the cluster has none"),
        ({"worker": TWO}, "boss", 0, 'should be "chief" or "worker"'),
        ({"worker": TWO}, "ps", 0, "parameter servers are not used"),
        ({"worker": TWO, "ps": ["c:1"]}, "worker", 0, "parameter servers are not used"),
        ({"worker": TWO}, "evaluator", 0, "run train.evaluate there"),
        ({"worker": ["10.0.0.1", "b:1"]}, "worker", 0, "10.0.0.1 is no address"),
        ({"worker": ["a:70000", "b:1"]}, "worker", 0, "a:70000 is no address"),
        ({"worker": ["a:1", "a:1"]}, "worker", 0, "names a:1 twice"),
        ({"worker": "a:1,b:1"}, "worker", 0, "cluster.worker is not a list of addresses"),
        ({"chief": TWO, "worker": ["c:1"]}, "worker", 0, "names 2 chiefs"),
        ({}, "worker", 0, "names no worker"),
    ],
)
def test_a_cluster_that_cannot_be_is_told_in_one_line(cluster, kind, index, message):
    with pytest.raises(UsageError, match=message) as raised:
        read(cluster, kind, index)
    assert "\n" not in str(raised.value)


def test_a_port_that_somebody_listens_on_is_named():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        cluster = Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0)
        with pytest.raises(UsageError, match=rf"port {port} of worker 0 \(127.0.0.1:{port}\) cannot be listened on"):
            cluster.require_free_port()
    cluster.require_free_port()
