"""What a client says where no connection comes about: each fault its own sentence, against real servers on loopback."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.connection import Connection, check_address
from serving.client_library.detection_client import DetectionClient, ServerError
from tests.serving.certificates import certificate
from tests.serving.conftest import REPOSITORY
from tests.serving.stand_in_detector import StandInDetector


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A folder with authority, server, client and stranger, each as .pem and .key."""
    folder = tmp_path_factory.mktemp("pem")
    authority = certificate(folder, "authority")
    for name in ("server", "client"):
        certificate(folder, name, authority)
    certificate(folder, "stranger")
    return folder


@pytest.fixture(scope="module")
def addresses(pem):
    """Servers by what they speak."""
    pair = [((pem / "server.key").read_bytes(), (pem / "server.pem").read_bytes())]
    authority = (pem / "authority.pem").read_bytes()
    web = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    web.RequestHandlerClass.log_message = lambda *_: None
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with (
        StandInDetector() as plain,
        StandInDetector(credentials=grpc.ssl_server_credentials(pair)) as tls,
        StandInDetector(credentials=grpc.ssl_server_credentials(pair, authority, True)) as mutual,
    ):
        found = {"plain": plain.address, "tls": tls.address, "mutual": mutual.address}
        yield {**found, "web": f"localhost:{web.server_port}", "nothing": "localhost:1"}
    web.shutdown()


def error_of(connection):
    client = DetectionClient(connection, "detector", max_retries=0, timeout_seconds=20)
    with client, pytest.raises(ServerError) as error:
        client.connect()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("server", "settings", "sentence"),
    [
        ("nothing", {}, "no server answers at .*: Connection refused, nothing listens at this port; give another, or"),
        ("web", {}, "what listens at .* does not speak gRPC; .* give gRPC's"),
        ("tls", {}, "closes the connection before the first answer; it may speak TLS: give --tls, or --ca_file"),
        ("plain", {"tls": True}, "does not speak TLS; leave --tls"),
        ("tls", {"ca_file": "stranger.pem"}, "is of no authority that is trusted; give .* as --ca_file"),
        ("tls", {"tls": True}, "is of no authority that is trusted; give .* as --ca_file"),
        (
            "tls",
            {"ca_file": "authority.pem", "tls_server_name": "elsewhere"},
            "is for another name: it has to carry 'localhost', or what --tls_server_name says",
        ),
        ("mutual", {"ca_file": "authority.pem"}, "it may want a client's certificate: give --client_certificate_file"),
    ],
)
def test_each_fault_has_its_own_sentence(server, settings, sentence, addresses, pem):
    settings = {name: pem / value if name.endswith("_file") else value for name, value in settings.items()}
    address = addresses[server]
    error = error_of(Connection(address, **settings))
    assert address in error
    assert re.search(sentence, error), error


def test_a_name_that_is_no_machine_s():
    assert "no machine is known by the name in nowhere.invalid:8500" in error_of(Connection("nowhere.invalid:8500"))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://localhost:8500", "'http://localhost:8500' is a URL; give host:port, here localhost:8500$"),
        ("https://models.example:443/v1", "is a URL; give host:port, here models.example:443, with --tls"),
        ("http://models.example/v1", "is a URL; give host:port, here models.example:8500$"),
        ("grpc://h:1", "is a URL; give host:port, here h:1"),
        ("localhost", "has no port"),
        ("localhost:", "is not host:port with a port"),
        ("localhost:grpc", "is not host:port with a port"),
        ("localhost:99999", "is not host:port with a port from 1 to 65535"),
        ("localhost:0", "is not host:port with a port"),
        ("localhost:8501/v1/models", "is not host:port"),
        ("local host:8500", "is not host:port"),
        ("::1:8500", "is not host:port"),
    ],
)
def test_what_is_no_address_is_refused_before_it_is_asked(address, sentence):
    with pytest.raises(UserError, match=sentence):
        Connection(address)


@pytest.mark.parametrize(
    "address", ["localhost:8500", "[::1]:8500", "dns:///serving-grpc:8500", "ipv4:127.0.0.1:1,127.0.0.1:2", "unix:/a"]
)
def test_addresses_that_grpc_takes_are_taken(address):
    check_address(address)


@pytest.mark.parametrize(
    ("certificate_name", "key_name", "sentence"),
    [
        ("client.pem", "stranger.key", "stranger.key is not the private key of the certificate .*client.pem"),
        ("client.pem", "client.pem", "client.pem holds no PEM block of a private key"),
        ("broken.pem", "client.key", "broken.pem with .*client.key: "),
    ],
)
def test_a_key_that_is_not_the_certificate_s_is_told_before_a_connection(certificate_name, key_name, sentence, pem):
    (pem / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")
    files = {"client_certificate_file": pem / certificate_name, "client_key_file": pem / key_name}
    with pytest.raises(UsageError, match=sentence):
        Connection("localhost:1", ca_file=pem / "authority.pem", **files).open_channel()


def test_importing_the_client_leaves_the_environment_as_it_is():
    code = "import os; before = dict(os.environ); import serving.client_library.detection_client; "
    code += "print(dict(os.environ) == before)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
