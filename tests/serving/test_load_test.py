"""The load test against a real gRPC server whose capacity is known, and what it says of what it measured."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import threading
import time
import xml.etree.ElementTree
from collections import Counter

import grpc
import pytest

from serving.client_library.connection import Connection
from serving.client_library.detection_client import DetectionClient
from serving.load.charts import Series, line_chart
from serving.load.generator import CONSTANT, LoadBounds, measure
from serving.load.knee import find_knee
from serving.load.measurement import NOT_SENT, Pace, Step
from serving.load.server_counts import parse_batch_counts
from serving.load.server_use import ServerUse, listening_process, use_of_metrics, use_of_process
from serving.load_test import main
from tests.serving.stand_in_detector import StandInDetector

SECONDS_A_REQUEST = 0.15


@pytest.fixture
def run(run_words, tmp_path, image):
    """Returns a function that runs the command on one image and returns exit code, output and error output."""
    path = tmp_path / "one.png"
    path.write_bytes(image((10, 20, 30, 40)))
    return lambda server, *words: run_words(
        main, "--server", server.address, "--model_name", "detector", path, "--warm_up_seconds", 0.2, *words
    )


def four_at_a_time():
    """A server that can answer 4 / 0.15 = 26.7 requests a second."""
    places = threading.Semaphore(4)

    def before(number, context):
        with places:
            time.sleep(SECONDS_A_REQUEST)

    return StandInDetector(before=before, threads=64)


def test_a_sweep_shows_what_a_server_that_answers_four_at_a_time_can_do(run, tmp_path):
    json_path, report_path = tmp_path / "load.json", tmp_path / "load.html"
    flags = ["--concurrency", 1, 2, 4, 8, 16, "--duration_seconds", 2]
    with four_at_a_time() as server:
        code, out, _ = run(server, *flags, "--json_path", json_path, "--report_path", report_path)
    assert code == 0 and len(out.splitlines()) == 1 + 5 + 1 and "knee: concurrency " in out
    found = json.loads(json_path.read_text())
    # Bounds that hold however busy the machine is: it can only make the server slower.
    by_concurrency = {step["concurrency"]: step for step in found["steps"]}
    assert 0 < by_concurrency[1]["requests_per_second"] <= 1 / SECONDS_A_REQUEST + 0.5
    assert all(step["requests_per_second"] <= 4 / SECONDS_A_REQUEST + 0.5 for step in found["steps"])
    # Sixteen callers share four places, so that each waits four turns (Little's law).
    assert by_concurrency[16]["latency_milliseconds"]["p50"] > 3.5 * 1000 * SECONDS_A_REQUEST
    best = max(step["requests_per_second"] for step in found["steps"])
    enough = [step["concurrency"] for step in found["steps"] if step["requests_per_second"] >= 0.9 * best]
    assert found["knee"]["concurrency"] == min(enough) > 1
    for step in found["steps"]:
        latency = step["latency_milliseconds"]
        assert 1000 * SECONDS_A_REQUEST <= latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"]
        assert step["statuses"] == {"OK": step["requests"]}
    assert f"knee: concurrency {min(enough)}, " in out
    page = report_path.read_text()
    assert page.count("<svg") == 3 and f"Knee: concurrency {min(enough)}, " in page and "http" not in page


@pytest.mark.parametrize(
    ("pace", "slow_at_least", "slow_at_most"),
    [(Pace(concurrency=1), 1, 3), (Pace(rate_per_second=40), 30, 70)],
)
def test_an_open_loop_counts_what_a_stall_would_have_cost(image, pace, slow_at_least, slow_at_most):
    """The server stalls for a second: a closed loop of one sees one slow answer, an open loop all that fell due."""
    one_at_a_time, stall = threading.Lock(), threading.Semaphore(0)

    def before(number, context):
        with one_at_a_time:
            if stall.acquire(blocking=False):
                time.sleep(1.0)

    with StandInDetector(before=before) as server:
        with DetectionClient(server.address, "detector", min_score=0.0) as client:
            request = client.request_for([image(None)]).SerializeToString()
        threading.Timer(1.0, stall.release).start()
        bounds = LoadBounds(warm_up_seconds=0.2, duration_seconds=3, arrivals=CONSTANT)
        step = asyncio.run(measure(Connection(server.address), [request], pace, bounds))
    assert step.errors == 0
    assert slow_at_least <= sum(latency > 0.15 for latency in step.latencies_seconds) <= slow_at_most


def test_errors_are_counted_by_status_and_bounds_make_it_fail(run):
    def refuses(number, context):
        if number > 10 and number % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    with StandInDetector(before=refuses) as server:
        flags = ["--concurrency", 2, "--duration_seconds", 1, "--max_pictures", 1]  # its earlier name
        code, out, err = run(server, *flags)
        assert code == 0 and "RESOURCE_EXHAUSTED" in err and out.splitlines()[1].split()[-3] != "0"
        assert run(server, *flags, "--max_error_fraction", 0.1)[0] == 1
        assert run(server, *flags, "--max_p99_milliseconds", 0.01)[0] == 1


def test_requests_time_and_what_is_on_its_way_are_bounded(run, tmp_path):
    with StandInDetector(before=lambda number, context: time.sleep(0.2)) as server:
        run(server, "--concurrency", 3, "--max_requests", 7, "--duration_seconds", 30, "--warm_up_seconds", 0)
        assert len(server.requests) == 7 + 1  # one to see that all is well
        flags = ["--rate", 100, "--max_in_flight", 5, "--duration_seconds", 1, "--json_path", tmp_path / "load.json"]
        _, _, err = run(server, *flags)
        assert server.most_at_once <= 5 and NOT_SENT in err
        started = time.monotonic()
        flags = ["--concurrency", 1, 2, 3, 4, "--duration_seconds", 1, "--max_total_seconds", 0.5]
        _, out, err = run(server, *flags)
        assert time.monotonic() - started < 6 and len(out.splitlines()) == 2
        assert "ended after --max_total_seconds 0.5" in err


def test_mistakes_are_told_before_the_load(run, tmp_path):
    with StandInDetector() as server:
        code, _, err = run(server, "--monitoring_url", "http://localhost:1/metrics")
        assert code == 1 and err.startswith("error: --monitoring_url http://localhost:1/metrics")
        assert run(server, "--rate", 0)[0] == 2
        assert run(server, "--rate", 1, "--concurrency", 1)[0] == 2
        assert run(server, "--report_path", tmp_path)[0] == 2
    code, out, err = run(server, "--timeout_seconds", 1)
    assert code == 1 and out == "" and err.startswith("error: no server answers")


METRICS = """# TYPE :tensorflow:serving:batching_session:processed_batch_size histogram
:tensorflow:serving:batching_session:processed_batch_size_bucket{model_name="a",le="1"} ONES
:tensorflow:serving:batching_session:processed_batch_size_bucket{model_name="a",le="2"} ONES
:tensorflow:serving:batching_session:processed_batch_size_bucket{model_name="a",le="4"} FOURS
:tensorflow:serving:batching_session:processed_batch_size_bucket{model_name="a",le="+Inf"} FOURS
:tensorflow:serving:batching_session:processed_batch_size_sum{model_name="a"} IMAGES
:tensorflow:serving:batching_session:processed_batch_size_count{model_name="a"} FOURS
:tensorflow:serving:request_count{model_name="a",status="OK"} 12
"""


def metrics(ones, fours):
    texts = {"ONES": ones, "FOURS": ones + fours, "IMAGES": ones + 4 * fours}
    text = METRICS
    for word, value in texts.items():
        text = text.replace(word, str(value))
    return text


def test_batch_sizes_are_what_the_server_counted_between_two_looks():
    sizes, mean = parse_batch_counts(metrics(5, 13)).since(parse_batch_counts(metrics(3, 10)))
    assert sizes == {"1": 2, "3-4": 3} and mean == pytest.approx(14 / 5)
    assert parse_batch_counts("nothing\n").since(parse_batch_counts("")) == ({}, None)


def test_batch_sizes_come_from_the_monitoring_url(run):
    looks = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            looks.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(metrics(10, 3 * len(looks)).encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as monitoring, StandInDetector() as server:
        threading.Thread(target=monitoring.serve_forever, daemon=True).start()
        url = f"http://localhost:{monitoring.server_port}/monitoring/prometheus/metrics"
        _, out, _ = run(server, "--monitoring_url", url, "--duration_seconds", 0.5)
        monitoring.shutdown()
    assert len(looks) >= 3 and "the server's batches by size: 3 of 3-4" in out
    assert out.splitlines()[1].split()[-3] == "4.0"


def step(concurrency, requests_per_second, milliseconds=()):
    return Step(
        Pace(concurrency=concurrency),
        1,
        seconds=1.0,
        answered_in_time=requests_per_second,
        latencies_seconds=[value / 1000 for value in milliseconds],
        statuses=Counter(OK=requests_per_second),
    )


def test_percentiles_are_latencies_that_were_seen():
    seen = step(1, 100, range(1, 101))
    assert [seen.milliseconds_at(value) for value in (50, 90, 99, 100)] == pytest.approx([50, 90, 99, 100])


def test_the_knee_of_a_closed_loop_is_the_least_load_with_nine_tenths_of_the_best():
    steps = [step(1, 10, [100]), step(2, 19, [105]), step(4, 37, [110]), step(8, 40, [200]), step(16, 39, [410])]
    found = find_knee(steps)
    assert (
        found.step is steps[2]
        and found.beyond is steps[3]
        and str(found).startswith("knee: concurrency 4, 37.0 answered a second")
    )
    found = find_knee(steps, max_p99_milliseconds=107)
    assert found.step is steps[1] and found.beyond is steps[2] and "at concurrency 4 p99 is 110.0 ms" in found.reason
    found = find_knee(steps[:3])
    assert found.step is steps[2] and found.beyond is None and "more load may bring more" in str(found)
    found = find_knee(steps, max_p99_milliseconds=1)
    assert found.step is None and str(found).startswith("no knee: the least load that was measured is too much")
    assert find_knee([step(1, 0)]) is None and find_knee([]) is None


def open_step(rate, answered, milliseconds, seconds=10):
    """A step with even spacing on both sides."""
    return Step(
        Pace(rate_per_second=rate),
        1,
        seconds=seconds,
        latencies_seconds=[value / 1000 for value in milliseconds],
        due_seconds=[number / rate for number in range(rate * seconds)],
        answer_seconds=[0.1 + number / answered for number in range(rate * seconds)],
        answered_in_time=int(answered * seconds),
        statuses=Counter(OK=rate * seconds),
    )


def test_the_knee_of_an_open_loop_is_the_last_load_that_is_kept_up_with():
    steps = [
        open_step(5, 5, [90]),
        open_step(10, 9.9, [100]),
        open_step(60, 13.5, [12_000]),
        open_step(90, 13, [15_000]),
    ]
    found = find_knee(steps)
    assert found.step is steps[1] and found.beyond is steps[2]
    assert "at 60 requests/s, 60.0 requests a second fell due and 13.5 were answered, p99 12000.0 ms" in str(found)
    alone = find_knee(steps[2:])
    assert alone.step is None and str(alone).startswith("no knee: the least load that was measured is too much")
    assert find_knee(steps[:2]).beyond is None and "more load may bring more" in str(find_knee(steps[:2]))
    assert find_knee(steps, max_p99_milliseconds=95).step is steps[0]


def test_an_open_loop_that_a_server_falls_behind_is_called_that(run, tmp_path):
    json_path = tmp_path / "load.json"
    with four_at_a_time() as server:
        code, out, _ = run(server, "--rate", 4, 80, "--duration_seconds", 2, "--json_path", json_path)
        assert code == 0 and out.splitlines()[-1].startswith("knee: 4 requests/s, ")
        slow = json.loads(json_path.read_text())["steps"][1]
        assert slow["offered_per_second"] > 60 and slow["answered_per_second"] < 4 / SECONDS_A_REQUEST + 1
        _, out, _ = run(server, "--rate", 80, "--duration_seconds", 2, "--json_path", json_path)
    assert "no knee: the least load that was measured is too much; at 80 requests/s, " in out
    found = json.loads(json_path.read_text())
    assert found["knee"] is None and found["verdict"] in out


def test_what_the_server_used_comes_from_its_metrics_or_its_process(run):
    page = "process_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 1e9\n"
    assert use_of_metrics("other 1\n" + page) == ServerUse(12.5, 1e9)
    assert use_of_metrics(page.splitlines()[0]) is None and use_of_metrics("") is None
    with StandInDetector() as server:
        assert listening_process(server.port) == os.getpid()
        code, out, err = run(server, "--duration_seconds", 1)
    assert code == 0 and f"that of process {os.getpid()} (" in err
    head, line = out.splitlines()
    assert head.split()[-4:] == ["server", "cores", "server", "MB"]
    cores, megabytes = map(float, line.split()[-2:])
    assert 0 < cores < 4 and megabytes == pytest.approx(use_of_process(os.getpid()).memory_bytes / 1e6, rel=0.5)
    assert use_of_process(2**22 + 1) is None  # above Linux's largest


def test_charts_are_whole_svg_whatever_the_values():
    for points in ([], [(1, 0)], [(1, 5.0)], [(1, 1e-6), (1000, 123456.0)], [(3, 7.0), (4, 7.0)]):
        text = line_chart([Series("a <b> & c", points), Series("d", points)], x_title="x <", y_title="y", mark_x=None)
        root = xml.etree.ElementTree.fromstring(text)
        places = [float(circle.get("cy")) for circle in root.iter("circle")]
        assert len(places) == 2 * len(points) and all(0 <= place <= 300 for place in places)
