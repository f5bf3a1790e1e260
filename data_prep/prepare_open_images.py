"""From names of classes to records, a label map and a filled pipeline config: Open Images' whole way in one command.

It fetches a release's CSVs, and calls the commands of this project one after the other, each shown as a person would
type it. Stopped or killed, the same command goes on; with one more class, it fetches only the images that are new.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from data_prep.formats.shard_names import refuse_pattern
from data_prep.preparing.open_images_classes import read_classes
from data_prep.preparing.open_images_estimate import estimate_lines
from data_prep.preparing.open_images_flags import OpenImagesFlags
from data_prep.preparing.open_images_way import files_of, run_steps
from data_prep.preparing.prepared_folder import PreparedFolder
from data_prep.preparing.release_metadata import ReleaseMetadata
from data_prep.runtime.command_line import EXIT_DONE, run_command
from data_prep.runtime.work_folders import exclusive_folder

EXAMPLE = """\
  python -m data_prep.prepare_open_images --classes Bed Television --output_directory data --estimate
  python -m data_prep.prepare_open_images --classes Bed Television --output_directory data
  python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    line = OpenImagesFlags(words, description=__doc__ or "", example=EXAMPLE)
    flags = line.values
    refuse_pattern(flags.output_directory)
    folder = PreparedFolder(flags.output_directory)
    metadata = ReleaseMetadata(flags.metadata_directory or folder.metadata, flags.metadata_base_url)
    with exclusive_folder(folder.path):
        classes = read_classes(flags, metadata)
        choice = line.choice(classes.descriptions, classes.hierarchy)
        if flags.estimate:
            print("\n".join(estimate_lines(flags, choice, files_of(flags), metadata, classes)))
        else:
            run_steps(flags, choice, folder, metadata)
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
