"""Pinning images to digests, asked of a registry on loopback that wants a token as Docker Hub does."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from data_prep.runtime.command_line import UserError
from serving.operating.image_digests import ImageReference, references_in
from serving.pin_images import main

DEPLOY = Path(__file__).resolve().parents[2] / "serving" / "deploy"


def digest_for(name: str, tag: str, salt: str = "") -> str:
    return "sha256:" + hashlib.sha256(f"{name}:{tag}{salt}".encode()).hexdigest()


class Registry(ThreadingHTTPServer):
    """Gives each tag a digest; `salt` moves all tags."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.salt = ""
        self.with_digest = True
        self.realm = f"{self.url}/token"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, format, *arguments):
        pass

    def do_GET(self):
        asked = urlsplit(self.path)
        scope = parse_qs(asked.query)["scope"][0]
        body = json.dumps({"token": f"for {scope}"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self):
        _, _, rest = self.path.partition("/v2/")
        name, _, tag = rest.partition("/manifests/")
        if self.headers.get("Authorization") != f"Bearer for repository:{name}:pull":
            self.send_response(401)
            self.send_header("WWW-Authenticate", f'Bearer realm="{self.server.realm}",service="here"')
        elif tag == "missing" or "image.index" not in self.headers["Accept"]:
            self.send_response(404)
        else:
            self.send_response(200)
            if self.server.with_digest:
                self.send_header("Docker-Content-Digest", digest_for(name, tag, self.server.salt))
        self.end_headers()


@pytest.fixture
def registry():
    server = Registry()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def deploy(tmp_path) -> Path:
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


def test_every_image_of_our_deployments_is_pinned_and_stays_so(deploy, registry, capsys):
    before = {path: path.read_text() for path in deploy.rglob("*.yaml")}
    assert main([str(deploy), "--mirror", registry.url]) == 0
    assert "tensorflow/serving:2.20.0-gpu  sha256:" in capsys.readouterr().out
    services = yaml.safe_load((deploy / "compose.yaml").read_text())["services"]
    for service in services.values():
        name, _, digest = service["image"].partition("@")
        assert digest == digest_for(*name.split(":")), name
    gpu = yaml.safe_load((deploy / "kubernetes" / "gpu" / "kustomization.yaml").read_text())["images"]
    digest = digest_for("tensorflow/serving", "2.20.0-gpu")
    assert gpu == [{"name": "tensorflow/serving", "newTag": "2.20.0-gpu", "digest": digest}]
    pod = yaml.safe_load((deploy / "kubernetes" / "base" / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    image = "tensorflow/serving:2.20.0@" + digest_for("tensorflow/serving", "2.20.0")
    assert pod["containers"][0]["image"] == image
    for path, text in before.items():
        new = [line.partition("@sha256:")[0].rstrip() for line in path.read_text().splitlines()]
        assert [line for line in new if "digest: sha256:" not in line] == [line.rstrip() for line in text.splitlines()]
    assert main([str(deploy), "--mirror", registry.url, "--check"]) == 0
    written = {path: path.stat().st_mtime_ns for path in before}
    assert main([str(deploy), "--mirror", registry.url]) == 0
    assert written == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on the path")
@pytest.mark.parametrize(("name", "tag"), [("base", "2.20.0"), ("gpu", "2.20.0-gpu"), ("production", "2.20.0")])
def test_kustomize_keeps_the_digests(deploy, registry, name, tag):
    main([str(deploy), "--mirror", registry.url])
    command = ["kubectl", "kustomize", str(deploy / "kubernetes" / name)]
    built = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    servers = {image for image in re.findall(r"image: (\S+)", built) if image.startswith("tensorflow/")}
    assert servers == {f"tensorflow/serving:{tag}@{digest_for('tensorflow/serving', tag)}"}


def test_a_tag_that_has_moved_is_told_and_pinned_anew(deploy, registry, capsys):
    main([str(deploy), "--mirror", registry.url])
    registry.salt = "moved"
    text = (deploy / "compose.yaml").read_text()
    with pytest.raises(UserError, match="7 of 7 files name an image without its digest of today"):
        main([str(deploy), "--mirror", registry.url, "--check"])
    assert (deploy / "compose.yaml").read_text() == text
    assert f"grafana/grafana:12.1.0 was {digest_for('grafana/grafana', '12.1.0')}" in capsys.readouterr().out
    assert main([str(deploy), "--mirror", registry.url]) == 0
    assert main([str(deploy), "--mirror", registry.url, "--check"]) == 0


def test_what_is_wrong_is_said_in_a_line(tmp_path, registry, free_port):
    file = tmp_path / "compose.yaml"
    flags = [str(file), "--mirror", registry.url]
    with pytest.raises(UserError, match="does not exist"):
        main(flags)
    file.write_text("services: {}\n")
    with pytest.raises(UserError, match="no image with a tag"):
        main(flags)
    file.write_text("    image: a/b:missing\n")
    with pytest.raises(UserError, match=r"a/b:missing: http://.* has no such image"):
        main(flags)
    file.write_text("    image: a/b:1\n")
    registry.with_digest = False
    with pytest.raises(UserError, match="without a digest"):
        main(flags)
    registry.realm = "http://elsewhere.example/token"  # a token is not asked for in plain text from a stranger
    with pytest.raises(UserError, match="wants a login"):
        main(flags)
    with pytest.raises(UserError, match="cannot be asked: ConnectionError"):
        main([str(file), "--mirror", f"http://127.0.0.1:{free_port}"])
    assert file.read_text() == "    image: a/b:1\n"


def test_images_are_found_as_compose_kubernetes_and_kustomize_name_them():
    text = (
        "image: busybox:1.36\n"
        "      - image: ghcr.io:443/a/b:v1@sha256:00\n"
        "images:\n  - name: tensorflow/serving\n    newTag: 2.20.0-gpu\n"
        "# image: no:1\nimagePullPolicy: Always\n"
    )
    assert references_in(text) == [
        ImageReference("busybox", "1.36"),
        ImageReference("ghcr.io:443/a/b", "v1", "sha256:00"),
        ImageReference("tensorflow/serving", "2.20.0-gpu"),
    ]
