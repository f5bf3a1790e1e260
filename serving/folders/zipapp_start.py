"""The start of a zipapp that `serving.make_zipapp` wrote: unpacks it once, finds its packages, and runs its command.

It runs before anything of this project, or from PyPI, can be imported, on whatever Python a machine has.
"""

import contextlib
import importlib.util
import json
import os
import runpy
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

MANIFEST_NAME = "manifest.json"
EXIT_FAILED = 1


def start() -> None:
    """Runs the command of the archive that this file is in."""
    archive_path = Path(sys.argv[0]).resolve()
    version = "{}.{}".format(*sys.version_info)
    if sys.version_info < (3, 10):  # noqa: UP036 - the file may be run by an older Python
        sys.exit(f"error: Python 3.10 or newer is needed, this is {version}")
    with zipfile.ZipFile(archive_path) as archive:
        manifest = json.loads(archive.read(MANIFEST_NAME))
        folder = unpacked(archive, archive_path.stem, manifest["digest"])
    sys.path.insert(0, str(folder / "code"))
    here = {"python": version, "platform": sysconfig.get_platform()}
    if manifest["packages_for"] == here:
        sys.path.insert(1, str(folder / "packages"))
    missing = [module for module in manifest["modules"] if not _found(module)]
    if missing:
        packages = " ".join(f"'{requirement}'" for requirement in manifest["requirements"])
        holds = manifest["packages_for"]
        why = ""
        if holds:
            why = "; it holds them for Python {python} on {platform} only".format(**holds)
        print(
            f"error: {archive_path.name} needs {', '.join(missing)}{why}: python3 -m pip install {packages}",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILED)
    from data_prep.runtime.quiet_grpc import quiet_grpc

    quiet_grpc()
    runpy.run_module(manifest["command"], run_name="__main__", alter_sys=False)


def unpacked(archive: zipfile.ZipFile, name: str, digest: str) -> Path:
    """Returns the folder of the archive's content in the person's own cache, unpacking it the first time.

    Compiled packages cannot be loaded from within an archive. The folder appears whole or not at all.
    """
    if os.name == "nt":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "object-detection-zipapp" / f"{name}-{digest[:16]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".partial-", dir=folder.parent)
    try:
        archive.extractall(temporary)
        with contextlib.suppress(OSError):  # another process was first
            Path(temporary).rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # its parent is missing
        return False


if __name__ == "__main__":
    start()
