"""How soon the client is ready to ask, against a client on `tensorflow_serving.apis` as its documentation has it.

    python -m tests.benchmarks.client_start

Each is a process of its own that ends when it could ask; they take turns. A busy machine disturbs CPU time least.
"""

import os
import statistics
import sys

from tests.benchmarks.measured_process import run_process

ROUNDS = 3
MOST_SECONDS = 1.0
PROGRAMS = {
    "bare Python": ["-c", "pass"],
    "python -m serving.client": ["-m", "serving.client", "--help"],
    "python -m serving.load_test": ["-m", "serving.load_test", "--help"],
    "tensorflow_serving.apis": [
        "-c",
        "import grpc; from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
    ],
}


def main() -> int:
    """Measures and prints; returns 1 when the client takes a second of CPU time or more."""
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for _ in range(ROUNDS):
        for name, words in PROGRAMS.items():
            seen[name].append(run_process([sys.executable, *words])[:2])
    cpu = {name: statistics.median(seconds for _, seconds in runs) for name, runs in seen.items()}
    for name, runs in seen.items():
        wall = statistics.median(seconds for seconds, _ in runs)
        print(f"{name:<28} {wall:6.2f} s, of CPU {cpu[name]:6.2f} s")
    client, baseline = cpu["python -m serving.client"], cpu["tensorflow_serving.apis"]
    print(f"the client starts {baseline / client:.1f} times faster than with tensorflow_serving.apis (CPU time)")
    return int(client >= MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
