"""Fetches a model of the Object Detection API's TensorFlow 2 Detection Zoo, and says which recipe starts from it.

A fetch that was broken off goes on where it was; what came is held against what the server says of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_prep.preparing.file_download import fetch
from data_prep.preparing.release_requests import ask, new_session
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UsageError, run_command
from train.checkpoints.detection_zoo import OWN_CONFIG, PUBLISHED_AT, ZOO, ZooModel, zoo_model
from train.checkpoints.zoo_archive import CHECKPOINT, CONFIG, unpack


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m train.fetch_zoo_checkpoint ssd_mobilenet_v2_fpnlite_320x320 --output_directory zoo",
    )
    parser.add_argument("name", nargs="?", help="of the archive, or a beginning that only one has")
    parser.add_argument("--output_directory", type=Path, default=Path("zoo"), help="gets a folder of the model's name")
    parser.add_argument("--base_url", default=PUBLISHED_AT, help="of the zoo, or of a mirror with the same folders")
    parser.add_argument("--keep_archive", action="store_true", help="leave the .tar.gz beside the folder")
    parser.add_argument("--list", action="store_true", help="print the zoo's names and what fits each, and end")
    arguments = parser.parse_args(argv)
    if arguments.list:
        for model in ZOO.values():
            print(f"{model.name}: {model.unsupported or model.recipe}")
        return EXIT_DONE
    if not arguments.name:
        raise UsageError("give a name of the zoo; --list prints all")
    model = zoo_model(arguments.name)
    folder = arguments.output_directory / model.name
    if (folder / f"{CHECKPOINT}.index").is_file():
        print(f"{folder} is there already")
    else:
        if folder.exists():
            raise UsageError(
                f"{folder} exists and holds no {CHECKPOINT}; remove it, or give another --output_directory"
            )
        archive = arguments.output_directory / f"{model.name}.tar.gz"
        if not archive.is_file():
            session = new_session()
            fetch(session, ask(session, model.url(arguments.base_url)), archive)
        unpack(archive, folder)
        if not arguments.keep_archive:
            archive.unlink()
        print(f"unpacked to {folder}")
    _tell(model, folder)
    return EXIT_DONE


def _tell(model: ZooModel, folder: Path) -> None:
    """Prints what a config says to start from the checkpoint."""
    if model.unsupported:
        print(f"warning: {model.unsupported}; its SavedModel can be served: {folder / 'saved_model'}")
        return
    recipe = folder / CONFIG if model.recipe == OWN_CONFIG else model.recipe
    print(f"recipe: {recipe}")
    print(f'  fine_tune_checkpoint: "{folder / CHECKPOINT}"')
    print('  fine_tune_checkpoint_type: "detection"')


if __name__ == "__main__":
    run_command(main)
