"""Unpacking of a zoo's archive: files below one folder, and nothing that leads out of it."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from data_prep.runtime.command_line import UserError
from data_prep.runtime.staged_folder import staged

# The largest of the zoo's unpack to about 2 GB.
MAX_UNPACKED_BYTES = 16 * 1024**3
MAX_MEMBERS = 10_000
CHECKPOINT = "checkpoint/ckpt-0"
CONFIG = "pipeline.config"


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive, of which everything lies in one folder.

    Args:
        archive: A `.tar.gz`.
        folder: New; gets what is in the archive's folder, and appears whole or not at all.

    Raises:
        UserError: The archive is damaged or no tar.gz, has a member that leads out of its folder or is no file, is far
            too large, or holds no checkpoint. Nothing is left then.
    """
    try:
        with staged(folder) as staging:
            _unpack_members(archive, staging)
            if not (staging / f"{CHECKPOINT}.index").is_file():
                raise UserError(f"{archive}: holds no {CHECKPOINT}; it is none of the zoo's TensorFlow 2 archives")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{archive}: cannot be unpacked: {error}; remove it, and fetch it again") from error


def _unpack_members(archive: Path, folder: Path) -> None:
    left = MAX_UNPACKED_BYTES
    with tarfile.open(archive, "r:gz") as tar:
        for number, member in enumerate(tar):
            parts = PurePosixPath(member.name).parts
            if member.name.startswith("/") or ".." in parts or "\\" in member.name or "\0" in member.name:
                raise UserError(f"{archive}: its member {member.name!r} leads out of the folder; it is not unpacked")
            if not (member.isfile() or member.isdir()):
                raise UserError(f"{archive}: its member {member.name!r} is a link or a device; it is not unpacked")
            left -= member.size
            if left < 0 or number >= MAX_MEMBERS:
                raise UserError(
                    f"{archive}: unpacks to more than {MAX_UNPACKED_BYTES // 1024**3} GiB or {MAX_MEMBERS} files; "
                    "it is none of the zoo's"
                )
            below = [part for part in parts if part != "."][1:]
            if not below:
                continue
            target = folder.joinpath(*below)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None, "members that are files have contents"
            with content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
