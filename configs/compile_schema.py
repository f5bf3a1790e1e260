"""Compiles pipeline.proto into the descriptor set that the reader loads. Run it after editing the schema.

    python -m configs.compile_schema

Needs grpcio-tools (requirements-dev.txt); nobody who only uses the schema does.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2

from configs.schema.descriptors import DESCRIPTOR_SET_PATH, PROTO_PATH
from configs.schema.problem import ConfigError
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.missing_packages import how_to_install


def compile_schema(proto_path: Path = PROTO_PATH) -> descriptor_pb2.FileDescriptorSet:
    """Compiles a .proto file.

    Args:
        proto_path: The file, in a folder whose name becomes part of the file name in the descriptor.

    Returns:
        The descriptor set, without source positions.

    Raises:
        ImportError: grpcio-tools is not installed.
        ConfigError: The file does not compile; protoc has written why to standard error.
    """
    if importlib.util.find_spec("grpc_tools") is None:
        raise ImportError("grpcio-tools is not installed")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "schema.pb"
        # In a process of its own: the compiler brings a protobuf library that crashes beside TensorFlow's.
        flags = [f"--proto_path={proto_path.parent.parent}", f"--descriptor_set_out={output}", str(proto_path)]
        code = subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags], check=False).returncode
        if code != 0:
            raise ConfigError(f"{proto_path}: does not compile (protoc ended with code {code})")
        return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the descriptor set, or with --check says whether it is up to date."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if out of date")
    arguments = parser.parse_args(argv)
    try:
        compiled = compile_schema()
    except ImportError:
        print(f"error: grpcio-tools is not installed; {how_to_install('dev')}", file=sys.stderr)
        return 2
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments.check:
        current = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET_PATH.read_bytes())
        print(f"{DESCRIPTOR_SET_PATH.name} is {'up to date' if current == compiled else 'out of date'}")
        return 0 if current == compiled else 1
    content = compiled.SerializeToString(deterministic=True)
    write_bytes(DESCRIPTOR_SET_PATH, content)
    print(f"wrote {DESCRIPTOR_SET_PATH}: {len(compiled.file[0].message_type)} messages, {len(content)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
