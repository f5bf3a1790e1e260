"""Imports flow one way: between the rooms, within them, and never from a command."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "data_prep": set(),
    "configs": {"data_prep"},
    "train": {"data_prep", "configs"},
    "export": {"data_prep", "configs", "train"},
    "serving": {"data_prep", "configs", "train", "export"},
    # Runs the commands of all rooms by their names, and imports none.
    "detection": {"data_prep"},
    # The API's package name over all of these, which nothing imports; it lies in compat/.
    "object_detection": {"data_prep", "configs", "train", "export", "serving"},
}
# What a client is made of stands on data_prep alone, and so may an evaluation stand on it, to measure a served model.
CLIENT_ROOMS = ("serving.client_library", "serving.wire")
ASKS_SERVERS = "train.evaluation"
FOLDERS = {room: ROOT / ("compat" if room == "object_detection" else "") / room for room in MAY_IMPORT}
FILES = [path for folder in FOLDERS.values() for path in sorted(folder.rglob("*.py"))]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("compat.").removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}
# A room's own files that can be run; the start of a zipapp lies deeper, and is copied, not called.
COMMANDS = {
    module_of(path)
    for path in FILES
    if path.parent in FOLDERS.values() and '\nif __name__ == "__main__":' in path.read_text()
}


def imports_of(path: Path) -> set[str]:
    """The project's modules that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module or "" for name in submodules]
        else:
            continue
        found.update(name for name in names if name.split(".")[0] in MAY_IMPORT or name.split(".")[0] == "tests")
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_rooms_below_it(room: str):
    for path in FOLDERS[room].rglob("*.py"):
        above = {name for name in imports_of(path) if name.split(".")[0] not in {room, *MAY_IMPORT[room]}}
        if module_of(path).startswith(f"{ASKS_SERVERS}."):
            above = {name for name in above if not name.startswith(CLIENT_ROOMS)}
        assert not above, f"{path} imports {above}"


def test_no_file_imports_a_command():
    for path in FILES:
        imported = imports_of(path) & COMMANDS
        assert not imported, f"{path} imports {imported}"


def test_configs_imports_only_the_shared_rooms_of_data_prep():
    shared = {"formats", "images", "records", "runtime"}
    for path in (ROOT / "configs").rglob("*.py"):
        names = {name for name in imports_of(path) if name.startswith("data_prep.")}
        others = {name for name in names if name.split(".")[1] not in shared}
        assert not others, f"{path} imports {others}"


def test_the_client_needs_neither_training_nor_export():
    for folder in ("client_library", "wire"):
        for path in (ROOT / "serving" / folder).rglob("*.py"):
            others = {name for name in imports_of(path) if not name.startswith(("data_prep.", *CLIENT_ROOMS))}
            assert not others, f"{path} imports {others}"


def test_no_modules_import_each_other_in_a_circle():
    imports = {module_of(path): imports_of(path) & MODULES - {module_of(path)} for path in FILES}
    while leaves := {module for module, imported in imports.items() if not imported & imports.keys()}:
        imports = {module: imported for module, imported in imports.items() if module not in leaves}
    assert not imports, {module: imported & imports.keys() for module, imported in imports.items()}
