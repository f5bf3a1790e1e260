"""Settings of the page, from its command line: where it listens, where the server is, which model, its classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.runtime.command_line import ArgumentParser, UsageError, int_between, number_above_zero, positive_int
from serving.client_library.channels import SERVING_DEFAULT
from serving.client_library.client_flags import (
    add_connection_flags,
    add_min_score_flag,
    connection_of,
    min_score_of,
)
from serving.client_library.connection import Connection
from serving.client_library.detections import BY_THE_MODEL, MinScore

DESCRIPTION = """A page that lists the amenities in photos of a home, as a detector sees them, for its host to correct

It asks the server over gRPC and holds no model. It listens on this machine only, until --host opens it up: it has no
login. Streamlit's own flags (--server.sslCertFile and the like) go after a --. A phone's browser gives a page its
camera over https only. `streamlit run serving/app.py [Streamlit's flags] -- [these flags]` is the same page."""
EXAMPLE = """  python -m serving.app --server localhost:8500 --model_name detector --label_map_path label_map.pbtxt
  python -m serving.app --model_name rooms --version_label stable --version_label canary --host 0.0.0.0 --port 8080 \\
      -- --server.sslCertFile cert.pem --server.sslKeyFile key.pem"""

DEFAULT_MAX_IMAGES = 20  # a listing's photographs; each is held in memory for as long as the page is open


@dataclass(frozen=True)
class Settings:
    """Settings of one page: server, model and limits.

    Attributes:
        connection: How the server is reached.
        model_name: What the server calls the model.
        version_labels: Labels that are offered beside the versions' numbers.
        signature_name: Which of the model's signatures.
        label_map: Names the classes; None leaves it to the model, and to numbers where that does not.
        min_score: Where the threshold stands at first: a score, or what the model says.
        max_images: More at once are not taken.
        timeout_seconds: The deadline of each request.
        host: The address that the page listens at; None where nothing was said.
        port: Its port; None for Streamlit's choice.
        streamlit_flags: What Streamlit is given beside them.
    """

    connection: Connection
    model_name: str
    version_labels: tuple[str, ...] = ()
    signature_name: str = SERVING_DEFAULT
    label_map: LabelMap | None = None
    min_score: MinScore = BY_THE_MODEL
    max_images: int = DEFAULT_MAX_IMAGES
    timeout_seconds: float = 30.0
    host: str | None = None
    port: int | None = None
    streamlit_flags: tuple[str, ...] = ()


def build_parser() -> ArgumentParser:
    """Returns the page's parser; a mistake raises UsageError, which the page can show, in place of exiting."""
    parser = _Parser(description=DESCRIPTION, example=EXAMPLE)
    add_connection_flags(parser)
    parser.add_argument("--model_name", required=True, help="what the server calls the model")
    parser.add_argument(
        "--version_label",
        action="append",
        default=[],
        metavar="LABEL",
        help="a label of the server's config, such as stable, to offer beside the versions; repeatable",
    )
    parser.add_argument("--signature_name", default=SERVING_DEFAULT, help="which of the model's signatures to ask")
    parser.add_argument("--label_map_path", type=Path, help="names the classes; without it the model does, or numbers")
    add_min_score_flag(parser, "where the threshold stands at first")
    parser.add_argument(
        "--max_images",
        "--max_pictures",
        type=positive_int,
        default=DEFAULT_MAX_IMAGES,
        help="taken at once; --max_pictures is its name in earlier versions",
    )
    parser.add_argument("--timeout_seconds", type=number_above_zero, default=30.0, help="the deadline of each question")
    parser.add_argument(
        "--host",
        help="the address that the page listens at, 0.0.0.0 for all of this machine's: whoever reaches it can use the "
        "page (default: localhost)",
    )
    parser.add_argument(
        "--port", type=int_between(1, 65535, "port"), help="of the page (default: the first free one from 8501 on)"
    )
    parser.add_argument("streamlit_flags", nargs="*", metavar="-- FLAG", help="passed to Streamlit")
    return parser


def read_settings(words: Sequence[str]) -> Settings:
    """Reads the words of the command line.

    Raises:
        UserError: The server has no port.
        UsageError: A flag is missing, unknown or wrong, or a file that it names cannot be read.
    """
    arguments = build_parser().parse_args(list(words))
    if arguments.streamlit_flags and not arguments.streamlit_flags[0].startswith("-"):
        raise UsageError(f"{arguments.streamlit_flags[0]!r} is not a flag; Streamlit's follow a --")
    return Settings(
        connection_of(arguments),
        arguments.model_name,
        version_labels=tuple(dict.fromkeys(arguments.version_label)),
        signature_name=arguments.signature_name,
        label_map=read_label_map(arguments.label_map_path) if arguments.label_map_path is not None else None,
        min_score=min_score_of(arguments),
        max_images=arguments.max_images,
        timeout_seconds=arguments.timeout_seconds,
        host=arguments.host,
        port=arguments.port,
        streamlit_flags=tuple(arguments.streamlit_flags),
    )


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (--help shows an example)")
