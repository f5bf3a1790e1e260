"""Pins the images of deployment files to the digests that their registries give for their tags today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import requests

from data_prep.runtime.atomic_files import write_text
from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, UserError, run_command
from serving.operating.image_digests import digest_of, pinned, references_in

EXAMPLE = """  python -m serving.pin_images serving/deploy            # writes NAME:TAG@sha256:... into the files
  python -m serving.pin_images serving/deploy --check    # in CI: fails where a tag has moved, or none is pinned"""


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(
        description="Asks the registry of each image in YAML files (`image:` of compose and Kubernetes, `newTag:` of "
        "kustomizations) for its digest, and writes that behind the tag, so that a tag that somebody moves changes "
        "nothing that runs.",
        example=EXAMPLE,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="YAML files, or folders of them")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a digest is missing or another")
    parser.add_argument("--mirror", metavar="URL", help="a registry that is asked in place of Docker Hub")
    return parser


def yaml_files(paths: Sequence[Path]) -> list[Path]:
    """Returns the YAML files among `paths` and below them.

    Raises:
        UserError: A path does not exist, or there is no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml"))
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path} does not exist")
    if not found:
        raise UserError(f"no YAML file in {', '.join(map(str, paths))}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Pins images; returns the exit code."""
    arguments = build_parser().parse_args(argv)
    texts = {path: path.read_text(encoding="utf-8") for path in yaml_files(arguments.paths)}
    found = {path: references for path, text in texts.items() if (references := references_in(text))}
    if not found:
        raise UserError(f"no image with a tag in {', '.join(map(str, arguments.paths))}")
    images = {str(image): image for references in found.values() for image in references}
    with requests.Session() as session:
        digests = {name: digest_of(image, session, arguments.mirror) for name, image in sorted(images.items())}
    for name, digest in digests.items():
        print(f"{name}  {digest}")
    changed = 0
    for path, references in found.items():
        stale = {str(image): image.digest for image in references if image.digest != digests[str(image)]}
        if not stale:
            continue
        changed += 1
        for name, before in stale.items():
            print(f"{path}: {name} {'was ' + before if before else 'was not pinned'}")
        if not arguments.check:
            write_text(path, pinned(texts[path], digests))
    if arguments.check and changed:
        raise UserError(f"{changed} of {len(found)} files name an image without its digest of today")
    print(f"{len(digests)} images, {changed} of {len(found)} files {'differ' if arguments.check else 'written'}")
    return EXIT_DONE


if __name__ == "__main__":
    run_command(main)
