"""Moves a label (stable, canary) to another version on running servers, or takes the last move back.

The labels are those of a models.config; servers get them by HandleReloadConfigRequest, which takes the whole file, so
give the one that they were started with. It is rewritten when all of them have taken the change, and what was before is
kept beside it. Nothing is moved unless every server has the version AVAILABLE and, with --require_better_than, unless
it detects better than another label's version on the evaluation records of a pipeline config, as train.compare says.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from data_prep.runtime.command_line import (
    EXIT_DONE,
    ArgumentParser,
    UsageError,
    UserError,
    number_above_zero,
    run_command,
)
from serving.client_library.client_flags import add_tls_flags
from serving.client_library.connection import Connection
from serving.client_library.model_service import ModelServiceClient
from serving.operating.better_version import require_better
from serving.operating.label_history import PROMOTE, ROLLBACK, LabelChange, change_to_undo, history_path, read_history
from serving.operating.model_server_config import check_label, version_number
from serving.operating.version_labels import (
    find_model,
    labels_text,
    load_versions,
    reload_all,
    require_available,
    show_state,
    with_labels,
    write_labels,
)
from serving.wire.server_files import read_models_file
from train.comparing.compare_flags import add_compare_arguments, compare_options

STABLE = "stable"
CANARY = "canary"
EXAMPLE = """  python -m serving.promote --model_config_file serving_config/models.config \\
      --version 2 --label canary --load
  python -m serving.promote --model_config_file serving_config/models.config        (stable follows canary)
  python -m serving.promote --model_config_file serving_config/models.config --rollback
  python -m serving.promote --model_config_file serving_config/models.config --version 2 \\
      --require_better_than stable --pipeline_config_path pipeline.config --comparison_directory comparison"""


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument(
        "--server",
        nargs="+",
        default=["localhost:8500"],
        metavar="HOST:PORT",
        help="every server that serves the file: all replicas, or they will disagree",
    )
    parser.add_argument(
        "--every_address",
        action="store_true",
        help="take each HOST for all the addresses that it stands for, as a Kubernetes headless service's name does",
    )
    parser.add_argument(
        "--model_config_file", type=Path, required=True, help="the models.config that the servers were started with"
    )
    parser.add_argument("--model_name", help="which of its models; not needed where there is one")
    parser.add_argument("--version", help=f"what the label is to stand for; by default what {CANARY} stands for")
    parser.add_argument("--label", default=STABLE, help="the label to move")
    parser.add_argument(
        "--load", action="store_true", help="load the version first, where the policy names versions (specific)"
    )
    parser.add_argument("--rollback", action="store_true", help="take the model's last move of labels back")
    parser.add_argument("--dry_run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--timeout_seconds", type=number_above_zero, default=60.0, help="for each answer, and for a version to load"
    )
    add_tls_flags(parser)
    better = parser.add_argument_group("only a version that detects better")
    better.add_argument(
        "--require_better_than",
        metavar="LABEL",
        help=f"move nothing unless the version is better than that of LABEL, such as {STABLE}; the version folders "
        "must be where the file says, on this machine too",
    )
    better.add_argument("--pipeline_config_path", metavar="PATH", help="on whose first eval_input_reader")
    better.add_argument(
        "--comparison_directory", type=Path, help="for detections and comparison.json, which a second run takes"
    )
    add_compare_arguments(parser)
    return parser


def every_address(servers: Sequence[str]) -> list[str]:
    """Replaces each `host:port` by one for each address that the host's name stands for.

    Raises:
        UserError: A name stands for nothing.
    """
    found: dict[str, None] = {}
    for server in servers:
        host, _, port = server.rpartition(":")
        try:
            entries = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            raise UserError(f"{server}: {error}") from error
        for family, _, _, _, address in entries:
            found[f"[{address[0]}]:{port}" if family == socket.AF_INET6 else f"{address[0]}:{port}"] = None
    return list(found)


def wanted_labels(arguments: argparse.Namespace, model_name: str, labels: dict[str, int]) -> dict[str, int]:
    """Returns the labels that the flags ask for.

    Raises:
        UsageError: There is nothing to take back, or no version to move the label to.
    """
    if arguments.rollback:
        if arguments.version is not None or arguments.label != STABLE:
            raise UsageError("--rollback takes the last move back as it was made; leave --version and --label out")
        path = history_path(arguments.model_config_file)
        change = change_to_undo(read_history(path), model_name)
        if change is None:
            raise UsageError(f"{path} has no move of {model_name}'s labels to take back; give --version and --label")
        if dict(change.after) != labels:
            raise UsageError(
                f"the last move left {model_name} with {labels_text(change.after)}, but it has {labels_text(labels)}: "
                "somebody else changed it since; give --version and --label"
            )
        return dict(change.before)
    check_label(arguments.label)
    if arguments.version is not None:
        version = version_number(arguments.version)
    elif arguments.label != CANARY and CANARY in labels:
        version = labels[CANARY]
    else:
        raise UsageError(f"give --version: {model_name} has {labels_text(labels)}, so there is none to take over")
    return {**labels, arguments.label: version}


def check_better(arguments: argparse.Namespace, base_path: str, before: dict[str, int], after: dict[str, int]) -> None:
    """Compares the version that the label is to stand for with that of `--require_better_than`.

    Raises:
        UsageError: There is nothing to compare, or on.
        UserError: It is not better.
    """
    reference = arguments.require_better_than
    if arguments.rollback:
        raise UsageError("--require_better_than does not go with --rollback, which goes back to what was there")
    if reference not in before:
        raise UsageError(f"--require_better_than {reference}: the labels are {labels_text(before)}")
    for flag in ("pipeline_config_path", "comparison_directory"):
        if getattr(arguments, flag) is None:
            raise UsageError(f"--require_better_than needs --{flag}")
    if before[reference] == after[arguments.label]:
        return  # it stands there already
    table = require_better(
        base_path,
        after[arguments.label],
        before[reference],
        pipeline_config_path=arguments.pipeline_config_path,
        options=compare_options(arguments),
        output_directory=arguments.comparison_directory,
    )
    print(f"\n{table}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    path = arguments.model_config_file
    config = read_models_file(path)
    model = find_model(config, arguments.model_name, path)
    before = dict(model.version_labels)
    after = wanted_labels(arguments, model.name, before)
    servers = every_address(arguments.server) if arguments.every_address else arguments.server
    moved = sorted({version for label, version in after.items() if before.get(label) != version})
    shown = sorted({*before, *after})
    if arguments.require_better_than is not None:
        check_better(arguments, model.base_path, before, after)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(
                ModelServiceClient(_connection(arguments, server), timeout_seconds=arguments.timeout_seconds)
            )
            for server in servers
        ]
        seen = show_state(clients, model.name, shown, "before", print)
        if before == after and all(found == after for found in seen):
            print(f"{model.name} has {labels_text(after)} already; nothing was done")
            return EXIT_DONE
        for server, found in zip(servers, seen, strict=True):
            if any(version not in (before.get(label), after.get(label)) for label, version in found.items()):
                print(
                    f"note: {path} says {labels_text(before)}, which is not what {server} has; it will have the file's"
                )
        if arguments.dry_run:
            print(f"would make it {labels_text(after)}; nothing was done (--dry_run)")
            return EXIT_DONE
        if arguments.load:
            missing = [version for version in moved if version not in model.model_version_policy.specific.versions]
            config = load_versions(clients, config, model.name, missing) if missing else config
        # All that will have a label: the server refuses a config of which one label cannot be kept.
        require_available(clients, model.name, sorted(set(after.values())))
        new = with_labels(config, model.name, after)
        reload_all(clients, config, new)
        action = ROLLBACK if arguments.rollback else PROMOTE
        write_labels(path, new, LabelChange(model.name, action, before, after, servers))
        seen = show_state(clients, model.name, shown, "after", print)
    kept = [{label: version for label, version in found.items() if version} for found in seen]
    wrong = [server for server, found in zip(servers, kept, strict=True) if found != after]
    if wrong:
        raise UserError(f"{wrong[0]} took the configuration, but its labels are not {labels_text(after)}")
    print(f"{model.name}: {labels_text(before)} became {labels_text(after)}; written to {path}")
    return EXIT_DONE


def _connection(arguments: argparse.Namespace, server: str) -> Connection:
    return Connection(
        server,
        tls=arguments.tls,
        ca_file=arguments.ca_file,
        client_certificate_file=arguments.client_certificate_file,
        client_key_file=arguments.client_key_file,
        tls_server_name=arguments.tls_server_name,
    )


if __name__ == "__main__":
    run_command(main)
