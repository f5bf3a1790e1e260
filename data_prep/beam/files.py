"""Files wherever Beam reaches them: on this machine, or at `gs://`, `s3://`, `hdfs://` and the like.

What is on this machine goes without Beam's layer, which lists folders with all that lies below them.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX


def is_remote(path: str) -> bool:
    """Tells whether a path is a URL of a file system that Beam knows."""
    return "://" in path


def absolute(path: str) -> str:
    """Returns a path that means the same in any folder, for processes that work elsewhere."""
    return path if is_remote(path) else str(Path(path).resolve())


def join(folder: str, name: str) -> str:
    """Returns the path of `name` in `folder`."""
    return str(FileSystems.join(folder, name)) if is_remote(folder) else str(Path(folder) / name)


def split(path: str) -> tuple[str, str]:
    """Returns the folder and the name of a path."""
    if not is_remote(path):
        return str(Path(path).parent), Path(path).name
    folder, _, name = path.rpartition("/")
    return folder, name


def exists(path: str) -> bool:
    """Tells whether there is a file."""
    return bool(FileSystems.exists(path)) if is_remote(path) else Path(path).is_file()


def open_to_read(path: str) -> IO[bytes]:
    """Opens a file; its name does not make it a compressed one."""
    return cast("IO[bytes]", FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED))


def open_to_write(path: str) -> IO[bytes]:
    """Opens a new file, with its folder where that is missing. Until it is closed, it may be there in part."""
    return cast("IO[bytes]", FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED))


def put(path: str, content: bytes) -> None:
    """Writes a file under a temporary name, and gives it its own once it is whole."""
    folder, name = split(path)
    temporary = join(folder, f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{name[-80:]}")
    try:
        with open_to_write(temporary) as file:
            file.write(content)
        move(temporary, path)
    except OSError:
        if exists(temporary):
            remove(temporary)
        raise


def move(source: str, target: str) -> None:
    """Puts `source` in the place of `target`."""
    if is_remote(target) and exists(target):
        remove(target)  # object stores would write over it, HDFS would not
    FileSystems.rename([source], [target])


def remove(path: str) -> None:
    """Removes a file that is there."""
    FileSystems.delete([path])


def remove_folder(path: str) -> None:
    """Removes a folder and all in it."""
    if is_remote(path):
        FileSystems.delete([path.rstrip("/") + "/"])
    else:
        shutil.rmtree(path, ignore_errors=True)


def files_in(folder: str) -> dict[str, tuple[int, float]]:
    """Returns size in bytes and time of change, in seconds since 1970, of each file of a folder, by name."""
    if not is_remote(folder):
        with os.scandir(folder) as entries:
            return {entry.name: _version(entry.stat()) for entry in entries if entry.is_file()}
    pattern = folder.rstrip("/") + "/*"
    found = FileSystems.match([pattern])[0].metadata_list
    return {split(file.path)[1]: (file.size_in_bytes, file.last_updated_in_seconds) for file in found}


def folders_in(folder: str, prefix: str) -> list[str]:
    """Returns the paths of the folders in a folder whose names begin with `prefix` and that have a file in them."""
    if not is_remote(folder):
        return sorted(str(path) for path in Path(folder).glob(f"{glob.escape(prefix)}*") if path.is_dir())
    found = FileSystems.match([f"{folder.rstrip('/')}/{prefix}*/*"])[0].metadata_list
    return sorted({split(file.path)[0] for file in found})


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """Yields a file on this machine with what `path` holds; that itself, where it is here.

    Raises:
        OSError: There is none.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / split(path)[1]
        with open_to_read(path) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        yield copy


def _version(status: Any) -> tuple[int, float]:
    return status.st_size, status.st_mtime
