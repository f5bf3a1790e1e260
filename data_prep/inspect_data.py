"""Writes one HTML page to look through a data set with; see `data_prep.inspection.command`."""

if __name__ == "inspect":
    # This folder itself is on the path, so that `import inspect` found this file where the standard library's was
    # meant, which half of that library needs. It gets what it asked for.
    import sys
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec
    from pathlib import Path

    _here = Path(__file__).resolve().parent
    _spec = PathFinder.find_spec("inspect", [path for path in sys.path if Path(path).resolve() != _here])
    if _spec is None or _spec.loader is None:
        raise ImportError("the standard library's inspect is not on the path")
    sys.modules["inspect"] = module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["inspect"])
else:
    from data_prep.inspection.command import main
    from data_prep.runtime.command_line import run_command

    __all__ = ["main"]

    if __name__ == "__main__":
        run_command(main)
