"""One line for a command that lacks a package: which, and which extra or requirements file brings it."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from types import TracebackType

from data_prep.runtime.command_line import EXIT_FAILED

DISTRIBUTION = "object-detection-road"
ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("configs", "data_prep", "detection", "export", "serving", "train")
# Modules whose distribution has another name.
_DISTRIBUTION_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_tools": "grpcio-tools",
    "mlflow": "mlflow-skinny",
    "official": "tf-models-official",
    "orbit": "tf-models-official",
    "scipy": "imagehash",
    "tensorboard": "tensorflow",
    "tensorflow_serving": "tensorflow-serving-api",
    "yaml": "pyyaml",
}
# A checkout's lists, smallest first of those that hold the same.
_FILES = {"": "requirements.txt", "app": "requirements-app.txt", "beam": "requirements-beam.txt"}
_FILES |= {"tracking": "requirements-tracking.txt", "dev": "requirements-dev.txt"}
_IN_EXTRA = re.compile(r"""^([\w.-]+).*?(?:;.*extra\s*==\s*["']([\w-]+)["'])?$""")
_IN_FILE = re.compile(r"^([A-Za-z][\w.-]*)", re.MULTILINE)


def how_to_install(extra: str) -> str:
    """Returns the words that install an extra, such as `serve`: of the installed project, or of a checkout's files."""
    if installed_requirements() is not None:
        return f"pip install '{DISTRIBUTION}[{extra}]'" if extra else f"pip install {DISTRIBUTION}"
    return f"pip install -r {_FILES.get(extra, _FILES[''])}"


def missing_package(error: ImportError, command: str) -> str | None:
    """Returns what to say of an import that failed; None where it is not for want of a package of ours.

    Args:
        error: What Python raised.
        command: Which command is running, as people call it.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.split(".")[0]
    if module in _ROOMS:
        return None
    package = _DISTRIBUTION_OF.get(module, module.replace("_", "-"))
    extra = _extra_of(package)
    if extra is None:
        return None
    # What these need beyond it is in [train] as well: else the next package would be missing.
    if extra in ("serve", "tables") and command.startswith(("data_prep.", "train.")):
        extra = "train"
    return f"{command} needs the package {package}, which is not installed; {how_to_install(extra)}"


def command_run() -> str:
    """Returns which command `python -m` is about to run, such as `serving.client`; "" where it is none of ours."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return module if module.split(".")[0] in _ROOMS and sys.argv[:1] == ["-m"] else ""


def explain_missing_packages() -> None:
    """Has Python say in one line what a command lacks, where this process is `python -m` of one of ours.

    To be called where a room is imported first, as most packages are missed before a command's own code runs. A program
    of somebody else's that imports the project is left alone.
    """
    module = command_run()
    if not module:
        return

    def explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        message = missing_package(error, module) if isinstance(error, ImportError) else None
        if message is None:
            earlier(kind, error, trace)
        else:
            print(f"error: {message}", file=sys.stderr)
            sys.exit(EXIT_FAILED)

    earlier = sys.excepthook
    sys.excepthook = explain


def _extra_of(package: str) -> str | None:
    """Returns the smallest extra that brings a package, "" for the base, None where nothing of ours needs it."""
    requirements = installed_requirements()
    if requirements is None:
        names = {extra: _IN_FILE.findall(_text(ROOT / file)) for extra, file in _FILES.items()}
    else:
        names = {}
        for requirement in requirements:
            if match := _IN_EXTRA.match(requirement):
                names.setdefault(match[2] or "", []).append(match[1])
    found = [extra for extra, packages in names.items() if package.lower() in map(_normalized, packages)]
    return min(found, key=lambda extra: (extra != "", len(names[extra])), default=None)


def installed_requirements() -> list[str] | None:
    """Returns what the installed project requires; None for a checkout beside which nothing is installed."""
    try:
        distribution = importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
    installed_here = Path(str(distribution.locate_file("data_prep"))).resolve() == ROOT / "data_prep"
    return distribution.requires if installed_here else None


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
