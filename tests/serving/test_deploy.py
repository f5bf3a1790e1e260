"""serving/deploy: the files hang together, with each other and with what make_server_config writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from serving.local_server import metrics
from serving.make_server_config import main as make_server_config
from serving.make_server_config import server_flags
from serving.operating.model_server_config import DEFAULT_METRICS_PATH
from serving.wire.messages import ModelServerConfig
from serving.wire.server_files import BatchingParameters, MonitoringConfig, read_server_file

DEPLOY = Path(__file__).resolve().parents[2] / "serving" / "deploy"
MONITORING = DEPLOY / "monitoring"
BASE, GPU = DEPLOY / "kubernetes" / "base", DEPLOY / "kubernetes" / "gpu"
GRPC_PORT, REST_PORT = 8500, 8501
MESSAGES = {
    "models.config": ModelServerConfig,
    "batching.config": BatchingParameters,
    "monitoring.config": MonitoringConfig,
}
# As tensorflow_model_server --help names them.
KNOWN_FLAGS = {
    "port", "rest_api_port", "model_config_file", "allow_version_labels_for_unavailable_models", "enable_batching",
    "batching_parameters_file", "monitoring_config_file", "enable_grpc_healthcheck_service",
    "tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism", "per_process_gpu_memory_fraction",
    "grpc_channel_arguments",
}  # fmt: skip


def documents(path: Path) -> list[dict]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def flags_of(words: list[str]) -> dict[str, str]:
    pairs = [word.removeprefix("--").partition("=") for word in words]
    return {name: value for name, _, value in pairs}


def compose(name: str = "compose.yaml") -> dict:
    return documents(DEPLOY / name)[0]["services"]


def container(path: Path) -> dict:
    return documents(path)[0]["spec"]["template"]["spec"]["containers"][0]


def server_arguments() -> dict[str, dict[str, str]]:
    """The flags of every place that starts a server."""
    return {
        "compose.yaml": flags_of(compose()["serving"]["command"]),
        "compose.gpu.yaml": flags_of(compose("compose.gpu.yaml")["serving"]["command"]),
        "deployment.yaml": flags_of(container(BASE / "deployment.yaml")["args"]),
        "deployment-patch.yaml": flags_of(container(GPU / "deployment-patch.yaml")["args"]),
    }


@pytest.mark.parametrize(("folder", "device"), [(DEPLOY, "cpu"), (BASE, "cpu"), (GPU, "gpu")])
def test_the_configs_are_what_the_command_writes(folder, device, tmp_path):
    flags = ["--model", "detector=/models/detector", "--version_label", "detector:stable=1", "--device", device]
    assert make_server_config(["--output_directory", str(tmp_path), *flags]) == 0
    found = sorted((folder / "config").iterdir())
    assert [path.name for path in found] == (["batching.config"] if device == "gpu" else sorted(MESSAGES))
    for path in found:
        # As messages: protobuf promises no spacing of its text.
        message = MESSAGES[path.name]
        assert read_server_file(path, message) == read_server_file(tmp_path / path.name, message)


def test_every_server_is_started_with_the_flags_that_the_command_prints():
    for place, flags in server_arguments().items():
        assert set(flags) <= KNOWN_FLAGS, place
        wanted = flags_of(server_flags("/config"))
        assert set(wanted) <= set(flags), place
        different = {name for name in wanted if flags[name] != wanted[name]}
        assert different <= ({"batching_parameters_file"} if place == "compose.gpu.yaml" else set()), place
        assert (int(flags["port"]), int(flags["rest_api_port"])) == (GRPC_PORT, REST_PORT)
        assert flags["enable_grpc_healthcheck_service"] == "true"  # readiness asks it


def test_compose_mounts_what_the_flags_name_and_opens_ports_to_this_machine_only():
    services = compose()
    assert set(services) == {"serving", "prometheus", "grafana"}
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            source, target, *mode = re.sub(r"\$\{[^}]*\}", "/given", volume).split(":")
            assert mode == ["ro"] or source in documents(DEPLOY / "compose.yaml")[0]["volumes"]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source
    serving = services["serving"]
    assert "./config:/config:ro" in serving["volumes"]  # a folder, so that a file replaced by a rename is seen
    (model,) = read_server_file(DEPLOY / "config" / "models.config", ModelServerConfig).model_config_list.config
    assert model.base_path == "/models/detector" and any(
        volume.endswith(":/models:ro") for volume in serving["volumes"]
    )
    assert str(serving["cpus"]) == flags_of(serving["command"])["tensorflow_intra_op_parallelism"]
    # Docker refuses more cores than the machine has: two, unless somebody says that there are more.
    assert serving["cpus"] == "${DETECTOR_CORES:-2}"
    gpu = compose("compose.gpu.yaml")["serving"]
    assert gpu["image"] == serving["image"] + "-gpu"
    source, target, _ = gpu["volumes"][0].split(":")
    assert (DEPLOY / source).is_file() and flags_of(gpu["command"])["batching_parameters_file"] == target


def test_prometheus_scrapes_the_rest_port_where_monitoring_config_shows_metrics():
    (job,) = documents(MONITORING / "prometheus.yml")[0]["scrape_configs"]
    monitoring = read_server_file(DEPLOY / "config" / "monitoring.config", MonitoringConfig)
    assert job["metrics_path"] == monitoring.prometheus_config.path == DEFAULT_METRICS_PATH
    assert job["static_configs"][0]["targets"] == [f"serving:{REST_PORT}"]
    (rule_file,) = documents(MONITORING / "prometheus.yml")[0]["rule_files"]
    assert f"./monitoring/alerts.yml:{rule_file}:ro" in compose()["prometheus"]["volumes"]


def metric_names(expression: str) -> set[str]:
    found = re.findall(r":tensorflow:[a-z:_]+", expression)
    return {
        re.sub(r"_(bucket|sum|count)$", "", name) if "latency" in name or "size" in name else name for name in found
    }


def test_board_and_alerts_ask_for_metrics_that_servers_have():
    known = {value for name, value in vars(metrics).items() if name.isupper() and str(value).startswith(":tensorflow:")}
    board = json.loads((MONITORING / "grafana" / "dashboards" / "detectors.json").read_text(encoding="utf-8"))
    (source,) = documents(MONITORING / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = documents(MONITORING / "grafana" / "provisioning" / "dashboards" / "detectors.yaml")[0]["providers"]
    folder = provider["options"]["path"]
    assert f"./monitoring/grafana/dashboards:{folder}:ro" in compose()["grafana"]["volumes"]
    assert (
        compose()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/detectors.json"
    )

    expressions = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [rule for group in documents(MONITORING / "alerts.yml")[0]["groups"] for rule in group["rules"]]
    expressions += [rule["expr"] for rule in rules]
    used = set().union(*map(metric_names, expressions))
    assert used <= known, used - known
    assert {
        metrics.REQUEST_COUNT,
        metrics.REQUEST_LATENCY,
        metrics.QUEUING_LATENCY,
        metrics.PROCESSED_BATCH_SIZE,
    } <= used
    for expression in expressions:
        assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")

    assert all(panel["datasource"]["uid"] == source["uid"] for panel in board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
        for panel in board["panels"]
        for column in range(panel["gridPos"]["w"])
        for row in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places)) and max(x for x, _ in places) < 24  # nothing overlaps
    (variable,) = board["templating"]["list"]
    assert variable["query"] == f"label_values({metrics.REQUEST_COUNT}, model_name)"


def test_kubernetes_probes_ports_and_cores_agree():
    deployment = documents(BASE / "deployment.yaml")[0]
    server = container(BASE / "deployment.yaml")
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert ports == {"grpc": GRPC_PORT, "rest": REST_PORT}
    assert server["readinessProbe"]["grpc"]["port"] == GRPC_PORT
    (model,) = read_server_file(BASE / "config" / "models.config", ModelServerConfig).model_config_list.config
    startup = server["startupProbe"]
    assert startup["httpGet"] == {"path": f"/v1/models/{model.name}", "port": "rest"}
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
    assert "tcpSocket" in server["livenessProbe"]
    pod = deployment["spec"]["template"]["spec"]
    sleep = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > sleep
    assert {mount["name"] for mount in server["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    assert mounted["config"] == "/config" and model.base_path.startswith(mounted["models"] + "/")
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == (
        str(REST_PORT),
        DEFAULT_METRICS_PATH,
    )
    for path in (BASE / "deployment.yaml", GPU / "deployment-patch.yaml"):
        found = container(path)
        cores = found["resources"]["limits"]["cpu"]
        assert found["resources"]["requests"]["cpu"] == cores
        assert flags_of(found["args"])["tensorflow_intra_op_parallelism"] == cores
    grpc_service, rest_service = documents(BASE / "services.yaml")
    assert grpc_service["spec"]["clusterIP"] == "None"  # the name stands for all pods
    assert [
        (s["spec"]["ports"][0]["port"], s["spec"]["ports"][0]["targetPort"]) for s in (grpc_service, rest_service)
    ] == [
        (GRPC_PORT, "grpc"),
        (REST_PORT, "rest"),
    ]


def test_on_a_gpu_the_threads_are_those_of_the_cores_all_the_same():
    flags = server_arguments()
    for name in ("tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism"):
        assert flags["compose.gpu.yaml"][name] == flags["compose.yaml"][name]
        assert flags["deployment-patch.yaml"][name] == flags["deployment.yaml"][name]


def test_the_operator_s_rules_and_targets_are_prometheus_s():
    folder = DEPLOY / "kubernetes" / "prometheus-operator"
    (rule,) = documents(folder / "prometheus-rule.yaml")
    assert rule["spec"]["groups"] == documents(MONITORING / "alerts.yml")[0]["groups"]
    (monitor,) = documents(folder / "pod-monitor.yaml")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("rest", DEFAULT_METRICS_PATH)
    (job,) = documents(MONITORING / "prometheus.yml")[0]["scrape_configs"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": job["job_name"]}]


def test_only_clients_and_prometheus_reach_the_servers():
    (policy,) = documents(BASE / "network-policy.yaml")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"] and spec["egress"] == []
    clients, prometheus = spec["ingress"]
    ports = {port["name"] for port in container(BASE / "deployment.yaml")["ports"]}
    assert {port["port"] for port in clients["ports"]} == ports
    (peer,) = clients["from"]  # one peer: a labelled pod of a labelled namespace, not either
    assert set(peer) == {"namespaceSelector", "podSelector"}
    assert [port["port"] for port in prometheus["ports"]] == ["rest"]  # no reload


def test_the_gpu_scales_by_the_metric_that_its_rule_makes():
    (metric,) = documents(GPU / "autoscaler-patch.yaml")[0]["spec"]["metrics"]
    (rule,) = documents(GPU / "prometheus-adapter-rule.yaml")[0]["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert metric_names(rule["metricsQuery"]) == metric_names(rule["seriesQuery"]) == {metrics.QUEUING_LATENCY}
    assert container(GPU / "deployment-patch.yaml")["resources"]["limits"]["nvidia.com/gpu"] == "1"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the path")
@pytest.mark.parametrize(("folder", "device"), [(BASE, "cpu"), (GPU, "gpu")])
def test_kustomize_builds_one_consistent_whole(folder, device):
    built = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True, timeout=60
    )
    found = {(part["kind"], part["metadata"]["name"]): part for part in yaml.safe_load_all(built.stdout)}
    deployment = found["Deployment", "serving"]
    template = deployment["spec"]["template"]
    selector = deployment["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()
    assert found["Service", "serving-grpc"]["spec"]["selector"] == selector
    assert found["PodDisruptionBudget", "serving"]["spec"]["selector"]["matchLabels"] == selector
    autoscaler = found["HorizontalPodAutoscaler", "serving"]["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == "serving"
    (metric,) = autoscaler["metrics"]
    image = template["spec"]["containers"][0]["image"]
    assert (metric["type"], image.endswith("-gpu")) == (("Resource", False) if device == "cpu" else ("Pods", True))
    config_map = found["ConfigMap", template["spec"]["volumes"][0]["configMap"]["name"]]
    assert sorted(config_map["data"]) == sorted(MESSAGES)
    assert ("value: 16" in config_map["data"]["batching.config"]) == (device == "gpu")
    claim = template["spec"]["volumes"][1]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in found
    everything = {
        part["metadata"].get("namespace")
        for kind, part in ((key[0], part) for key, part in found.items())
        if kind != "Namespace"
    }
    assert everything == {"detectors"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the path")
def test_kustomize_builds_production_with_all_parts():
    folder = DEPLOY / "kubernetes" / "production"
    command = ["kubectl", "kustomize", str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = {(part["kind"], part["metadata"]["name"]): part for part in yaml.safe_load_all(built.stdout)}
    assert {part["metadata"].get("namespace") for key, part in found.items() if key[0] != "Namespace"} == {"detectors"}
    pod = found["Deployment", "serving"]["spec"]["template"]["spec"]
    labels = found["Deployment", "serving"]["spec"]["selector"]["matchLabels"]
    server = pod["containers"][0]
    assert "--ssl_config_file=/ssl/ssl.config" in server["args"]
    assert "grpc" not in server["readinessProbe"]  # the kubelet's gRPC probe speaks no TLS
    assert {one["name"] for one in pod["initContainers"]} == {"write-ssl-config", "wait-for-model"}
    volumes = {volume["name"] for volume in pod["volumes"]}
    for one in (server, *pod["initContainers"]):
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes
    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in found
    job = found["Job", "fill-models"]["spec"]["template"]
    assert (
        not labels.items() <= job["metadata"]["labels"].items()
    )  # no server: no requests, and no policy without egress
    for reference in job["spec"]["volumes"]:
        if "configMap" in reference:
            assert ("ConfigMap", reference["configMap"]["name"]) in found
    assert found["NetworkPolicy", "serving"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["PodMonitor", "serving"]["spec"]["selector"]["matchLabels"] == labels


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the path")
@pytest.mark.parametrize("name", ["base", "gpu", "production"])
def test_what_kustomize_builds_fits_kubernetes_schemas(name):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / name)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for part in yaml.safe_load_all(built.stdout):
        if not part["apiVersion"].startswith("monitoring.coreos.com/"):  # the operator's, not Kubernetes' own
            kubernetes_validate.validate(part, "1.31", strict=True)


def compose_command() -> list[str] | None:
    """Docker's compose, which needs no daemon to check files; the first generation does not know `name:`."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is not None:
            asked = subprocess.run([*command, "version"], capture_output=True, text=True, check=False, timeout=60)
            if asked.returncode == 0 and (found := re.search(r"version v?(\d+)\.", asked.stdout)) and int(found[1]) > 1:
                return command
    return None


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.gpu.yaml"]], ids=["cpu", "gpu"])
def test_docker_compose_takes_the_files(files, tmp_path):
    command = compose_command()
    if command is None:
        pytest.skip("no docker compose on the path")
    flags = [word for name in files for word in ("-f", str(DEPLOY / name))]

    def config(**settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **settings}
        words = [*command, *flags, "config", "--format", "json"]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)

    done = config(MODELS_DIRECTORY=str(tmp_path), DETECTOR_CORES="3")
    assert done.returncode == 0, done.stderr
    serving = json.loads(done.stdout)["services"]["serving"]
    assert serving["cpus"] == 3 and "--tensorflow_intra_op_parallelism=3" in serving["command"]
    assert serving["init"] is True and serving["image"].partition("@")[0].endswith("-gpu") == (len(files) == 2)
    without = config(MODELS_DIRECTORY="")
    assert without.returncode != 0 and "the folder with a folder for each model" in without.stderr


def test_the_page_names_every_file_and_every_knob():
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for path in DEPLOY.rglob("*.yaml"):
        assert path.name in page or path.parent.name in page, path
    for flag in KNOWN_FLAGS - {"port", "rest_api_port"}:
        assert f"--{flag}" in page, flag
    for field in (
        "max_batch_size",
        "batch_timeout_micros",
        "num_batch_threads",
        "max_enqueued_batches",
        "allowed_batch_sizes",
    ):
        assert field in page
