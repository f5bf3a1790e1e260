"""The scripts that the containers of serving/deploy run, run here: filling the volume, waiting, TLS, health."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from serving.client_library.connection import Connection
from serving.client_library.detection_client import DetectionClient
from serving.local_server.listening import credentials_of
from serving.wire.server_files import SSLConfig, read_server_file
from tests.serving.certificates import certificate
from tests.serving.stand_in_detector import StandInDetector

DEPLOY = Path(__file__).resolve().parents[2] / "serving" / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def run_script(path, *words, shell="sh", **environment):
    return subprocess.run(
        [shell, str(path), *map(str, words)],
        env={"PATH": "/usr/bin:/bin", **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def write_version(folder, content="graph"):
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(content)


def test_the_job_fills_the_volume_with_whole_versions_once(tmp_path):
    write_version(tmp_path / "bucket" / "detector" / "1")
    write_version(tmp_path / "bucket" / "detector" / "2")
    (tmp_path / "bucket" / "detector" / "3").mkdir()  # half uploaded
    write_version(tmp_path / "volume" / "detector" / "1", "as it was")
    (tmp_path / "volume" / ".partial-fill" / "detector").mkdir(parents=True)  # of a Job that was killed
    settings = {"SOURCE": tmp_path / "bucket", "MODELS": tmp_path / "volume", "COPY": "cp -rT"}
    done = run_script(KUBERNETES / "fill-models" / "fill_models.sh", **settings)
    assert (done.returncode, done.stdout) == (0, "detector/1 is there\ndetector/2 filled in\n"), done.stderr
    volume = tmp_path / "volume"
    assert (volume / "detector" / "1" / "saved_model.pb").read_text() == "as it was"
    assert sorted(str(path.relative_to(volume)) for path in volume.rglob("*") if path.is_dir()) == [
        "detector", "detector/1", "detector/2",
    ]  # fmt: skip


def test_a_bucket_without_models_is_an_error(tmp_path):
    (tmp_path / "bucket").mkdir()
    settings = {"SOURCE": tmp_path / "bucket", "MODELS": tmp_path / "volume", "COPY": "cp -rT"}
    done = run_script(KUBERNETES / "fill-models" / "fill_models.sh", **settings)
    assert done.returncode == 1 and "holds no NAME/VERSION/saved_model.pb" in done.stderr


def test_servers_wait_for_a_version(tmp_path):
    script = KUBERNETES / "fill-models" / "wait_for_model.sh"
    environment = {"PATH": "/usr/bin:/bin", "MODELS": str(tmp_path), "MODEL": "detector", "SECONDS_BETWEEN": "0.1"}
    with subprocess.Popen(["sh", str(script)], env=environment) as waiting:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
            write_version(tmp_path / "detector" / "1")
            assert waiting.wait(30) == 0
        finally:
            waiting.kill()


@pytest.mark.parametrize("verifies_clients", [False, True])
def test_the_secret_s_files_become_an_ssl_config_that_serves(verifies_clients, tmp_path):
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "client", authority)
    secret = tmp_path / "secret"
    secret.mkdir()
    for name, source in (("tls.key", "server.key"), ("tls.crt", "server.pem"), ("ca.crt", "authority.pem")):
        (secret / name).write_bytes((tmp_path / source).read_bytes())
    output = tmp_path / "ssl.config"
    done = run_script(
        KUBERNETES / "tls" / "write_ssl_config.sh",
        SECRET=secret,
        OUTPUT=output,
        VERIFY_CLIENTS=str(verifies_clients).lower(),
    )
    assert done.returncode == 0, done.stderr
    assert output.stat().st_mode & 0o077 == 0  # it holds the key
    config = read_server_file(output, SSLConfig)
    assert config.client_verify == verifies_clients
    mutual = {"client_certificate_file": tmp_path / "client.pem", "client_key_file": tmp_path / "client.key"}
    with StandInDetector(credentials=credentials_of(config)) as server:
        connection = Connection(
            server.address, ca_file=tmp_path / "authority.pem", **(mutual if verifies_clients else {})
        )
        with DetectionClient(connection, "detector") as client:
            client.connect()


def test_the_health_check_tells_a_model_that_is_available(start_server, encoded_model, free_port):
    script = DEPLOY / "health" / "model_available.sh"
    with start_server(encoded_model, "--rest_api_port", str(free_port)):
        assert run_script(script, "localhost", free_port, "detector", shell="bash").returncode == 0
        assert run_script(script, "localhost", free_port, "other", shell="bash").returncode != 0
    assert run_script(script, "localhost", free_port, "detector", shell="bash").returncode != 0
