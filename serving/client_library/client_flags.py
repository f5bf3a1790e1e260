"""Flags of the commands that ask a server: its address, the model, deadlines and retries."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    fraction,
    int_from_zero,
    number_above_zero,
    positive_int,
)
from serving.client_library.channels import DEFAULT_MAX_MESSAGE_MEBIBYTES, SERVING_DEFAULT
from serving.client_library.connection import Connection, read_api_key
from serving.client_library.detections import USUAL_MIN_SCORE, MinScore, ThresholdsOr
from serving.client_library.shrinking import DEFAULT_QUALITY, MAX_QUALITY, Shrink

DEFAULT_API_KEY_HEADER = "x-api-key"


def add_connection_flags(parser: ArgumentParser, default_server: str | None = "localhost:8500") -> None:
    """Adds --server and the flags of TLS, keys and metadata; `connection_of` reads them.

    Args:
        parser: Where to.
        default_server: What --server is when it is not given; None for commands that can do without.
    """
    parser.add_argument("--server", default=default_server, help="host:port of the gRPC server")
    add_channel_flags(parser)


def add_channel_flags(parser: ArgumentParser) -> None:
    """Adds what `add_connection_flags` adds beside --server, for commands that name their servers otherwise."""
    parser.add_argument(
        "--max_message_mebibytes",
        type=positive_int,
        default=DEFAULT_MAX_MESSAGE_MEBIBYTES,
        help="the largest request; the server has to take as much",
    )
    group = add_tls_flags(parser)
    group.add_argument(
        "--api_key_file", type=Path, help="a file with a key that each request carries (a flag would show it in ps)"
    )
    group.add_argument("--api_key_header", default=DEFAULT_API_KEY_HEADER, help="under which name it carries the key")
    group.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what else requests carry; repeatable",
    )


def add_tls_flags(parser: ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the flags of TLS, and returns their group, for more of the kind."""
    group = parser.add_argument_group("TLS and keys")
    group.add_argument("--tls", action="store_true", help="speak TLS, trusting the system's authorities")
    group.add_argument("--ca_file", type=Path, help="speak TLS, trusting these authorities (PEM) in their place")
    group.add_argument("--client_certificate_file", type=Path, help="for mutual TLS: the client's certificate (PEM)")
    group.add_argument("--client_key_file", type=Path, help="for mutual TLS: its private key (PEM)")
    group.add_argument("--tls_server_name", help="what the server's certificate says, where it is not --server's host")
    return group


def connection_of(arguments: argparse.Namespace) -> Connection:
    """Returns what the flags say.

    Raises:
        UserError: The server has no port.
        UsageError: Flags that do not go together, or a file that cannot be read.
    """
    metadata = []
    for pair in arguments.metadata:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--metadata {pair!r} is not KEY=VALUE")
        metadata.append((key, value))
    if arguments.api_key_file is not None:
        metadata.append((arguments.api_key_header, read_api_key(arguments.api_key_file)))
    return Connection(
        arguments.server,
        tls=arguments.tls,
        ca_file=arguments.ca_file,
        client_certificate_file=arguments.client_certificate_file,
        client_key_file=arguments.client_key_file,
        tls_server_name=arguments.tls_server_name,
        metadata=tuple(metadata),
        max_message_mebibytes=arguments.max_message_mebibytes,
    )


def add_model_flags(parser: ArgumentParser) -> None:
    """Adds the flags that say which model, version and signature to ask."""
    parser.add_argument("--model_name", required=True, help="what the server calls the model")
    version = parser.add_mutually_exclusive_group()
    version.add_argument("--model_version", type=positive_int, help="which version to ask; by default the newest")
    version.add_argument("--version_label", help="which version, by a label of the server's config, such as stable")
    parser.add_argument("--signature_name", default=SERVING_DEFAULT, help="which of the model's signatures to ask")


def add_retry_flags(parser: ArgumentParser) -> None:
    """Adds the flags of deadlines, retries and hedging."""
    parser.add_argument(
        "--timeout_seconds",
        type=number_above_zero,
        default=60.0,
        help="the deadline of each request, its retries included",
    )
    parser.add_argument(
        "--max_retries",
        type=int_from_zero,
        help="times a request is sent again where no server answers, or one is too busy; by default as often as the "
        "deadline has room for, and 4 times before a server has answered at all",
    )
    parser.add_argument(
        "--hedge_after_seconds",
        type=number_above_zero,
        help="send a request a second time where the first has no answer after so long, for at most one in ten; "
        "by default never",
    )


def add_shrink_flags(parser: ArgumentParser) -> None:
    """Adds --shrink and its like, which `shrink_of` reads."""
    group = parser.add_argument_group("shrinking images before they are sent")
    group.add_argument(
        "--shrink",
        action="store_true",
        help="to what the model's image_resizer makes of them, which the model tells: bytes are saved and detections "
        "change a little",
    )
    group.add_argument(
        "--shrink_to",
        type=positive_int,
        metavar="PIXELS",
        help="to this shorter side in its place, for models that do not tell",
    )
    group.add_argument(
        "--shrink_quality", type=_jpeg_quality, default=DEFAULT_QUALITY, help="of the JPEGs that are sent, 1 to 95"
    )


def shrink_of(arguments: argparse.Namespace) -> Shrink | None:
    """Returns what the flags of `add_shrink_flags` say; None for images as they are."""
    if not arguments.shrink and arguments.shrink_to is None:
        return None
    return Shrink(arguments.shrink_to, arguments.shrink_quality)


def _jpeg_quality(text: str) -> int:
    quality = positive_int(text)
    if quality > MAX_QUALITY:
        raise argparse.ArgumentTypeError(f"{text} is more than {MAX_QUALITY}")
    return quality


def add_min_score_flag(parser: ArgumentParser, what: str, usual: float = USUAL_MIN_SCORE) -> None:
    """Adds --min_score, of which `min_score_of` makes a choice.

    Args:
        parser: Where to.
        what: What becomes of detections below it.
        usual: The score for models without thresholds.
    """
    parser.add_argument(
        "--min_score",
        type=fraction,
        help=f"{what} (default: {usual:g}, and 0 for a model that was exported with thresholds)",
    )


def min_score_of(arguments: argparse.Namespace, usual: float = USUAL_MIN_SCORE) -> MinScore:
    """Returns what --min_score says, and what the model says where it was not given."""
    return ThresholdsOr(usual) if arguments.min_score is None else float(arguments.min_score)


def client_settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what `add_model_flags` and `add_retry_flags` say, as a client's keyword arguments."""
    names = ("model_version", "version_label", "signature_name", "timeout_seconds", "max_retries")
    return {name: getattr(arguments, name) for name in (*names, "hedge_after_seconds")}
