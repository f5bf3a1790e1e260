"""Writes a command and all that it needs of this project as one file, which `python3 FILE` runs without installing."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import sysconfig
import tempfile
import zipapp
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.command_line import ArgumentParser, UsageError, UserError, run_command
from data_prep.runtime.missing_packages import installed_requirements
from serving.folders.zipapp_start import MANIFEST_NAME

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("data_prep", "serving")
START = Path(__file__).with_name("folders") / "zipapp_start.py"
# What a client needs from PyPI: the distribution and the module that it brings.
PACKAGES = {
    "numpy": "numpy",
    "pillow": "PIL",
    "simplejpeg": "simplejpeg",
    "grpcio": "grpc",
    "protobuf": "google.protobuf",
    "tqdm": "tqdm",
}

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?!.*extra\s*==)")
_NOT_NEEDED = re.compile(r"(^|/)(tests|__pycache__)/|\.(pyc|pyi|h|a|pxd)$|^\.\.")

DESCRIPTION = """Writes a command as one file: python3 predict_folder.pyz PHOTOS --server ...

By default the file holds this project's code alone, some 100 KB, and says which packages to install where they are
missing. With --with_dependencies it holds the packages that are installed here as well, and runs on any machine with
the same system and the same minor version of Python, without pip and without network. TensorFlow is never in it: the
command asks a server, or uses the TensorFlow that is installed."""
EXAMPLE = """  python -m serving.make_zipapp --output_path predict_folder.pyz --with_dependencies
  python3 predict_folder.pyz photos --server gpu-box:8500 --model_name furniture \\
      --output_directory out --sort_into sorted"""


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("--output_path", type=Path, required=True, help="the file to write, such as predict_folder.pyz")
    parser.add_argument("--command", default="serving.predict_folder", help="the module that it runs")
    parser.add_argument(
        "--with_dependencies", action="store_true", help="put in the packages that are installed here, some 40 MB"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the file; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    modules = modules_of(arguments.command)
    with tempfile.TemporaryDirectory(prefix="zipapp-") as staging:
        write_content(Path(staging), arguments.command, modules, with_dependencies=arguments.with_dependencies)
        with atomic_path(arguments.output_path) as temporary:
            # Shallow compression reads as fast, and packs four times faster, than the deepest.
            zipapp.create_archive(staging, temporary, interpreter="/usr/bin/env python3", compressed=True)
            temporary.chmod(0o755)
    size = arguments.output_path.stat().st_size
    contents = f"{len(modules)} modules of this project"
    print(f"{arguments.output_path}: {size / 1e6:.1f} MB, {contents}, runs {arguments.command}")
    if arguments.with_dependencies:
        print("with its packages, for Python {python} on {platform}".format(**this_machine()))
    else:
        print(f"needs Python 3.10 or newer, and: python3 -m pip install {' '.join(map(repr, requirements()))}")
    return 0


def modules_of(command: str) -> dict[str, Path]:
    """Returns this project's modules that `command` imports, at once or later, itself among them, by name.

    Raises:
        UsageError: There is no such command.
    """
    start = _file_of(command)
    if start is None:
        raise UsageError(f"there is no module {command!r} in {' or '.join(ROOMS)}")
    found: dict[str, Path] = {}
    waiting = [(command, start)]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        parents = [name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1)]
        for imported in (*parents, *_imports(path)):
            file = _file_of(imported)
            if file is not None:
                waiting.append((imported, file))
    return found


def write_content(folder: Path, command: str, modules: dict[str, Path], *, with_dependencies: bool) -> None:
    """Lays out what goes into the archive: `__main__.py`, `manifest.json`, `code/`, and perhaps `packages/`.

    Raises:
        UserError: A package is not installed here.
    """
    for path in modules.values():
        _copy(path, folder / "code" / path.relative_to(ROOT))
        for data in path.parent.glob("*.pb"):  # descriptors of the messages
            _copy(data, folder / "code" / data.relative_to(ROOT))
    if with_dependencies:
        for name in sorted(_with_requirements(PACKAGES)):
            _copy_distribution(name, folder / "packages")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    manifest = {
        "digest": digest.hexdigest(),
        "command": command,
        "modules": list(PACKAGES.values()),
        "requirements": requirements(),
        "packages_for": this_machine() if with_dependencies else None,
    }
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    shutil.copyfile(START, folder / "__main__.py")


def this_machine() -> dict[str, str]:
    """Returns what compiled packages depend on: the minor version of Python, and the system."""
    return {"python": "{}.{}".format(*sys.version_info), "platform": sysconfig.get_platform()}


def requirements() -> list[str]:
    """Returns the packages of a client, in the versions that a checkout's `requirements.txt` or the wheel takes."""
    lines = installed_requirements()
    if lines is None:
        lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if (match := _REQUIREMENT.match(line)) and match[1].lower() in PACKAGES]


def _imports(path: Path) -> Iterator[str]:
    """Yields the names that may be modules in a file's import statements, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file_of(module: str) -> Path | None:
    if module.split(".", maxsplit=1)[0] not in ROOMS:
        return None
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _with_requirements(names: Sequence[str] | dict[str, str]) -> set[str]:
    """Returns the distributions and those that they require, where installed: some are for other systems."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for requirement in importlib.metadata.requires(name) or ():
            match = _REQUIREMENT.match(requirement)
            if match and _is_installed(match[1]):
                waiting.append(match[1].lower().replace("_", "-"))
    return found


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _copy_distribution(name: str, folder: Path) -> None:
    files = importlib.metadata.distribution(name).files
    if files is None:
        raise UserError(f"the files of package {name} are not known; install it with pip")
    for file in files:
        if not _NOT_NEEDED.search(file.as_posix()):
            _copy(Path(str(file.locate())), folder / file)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    run_command(main)
