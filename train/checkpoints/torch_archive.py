"""Reader of the tensors of a torch file, without torch and without running the file.

Two layouts are read. Since torch 1.6 a file is a zip archive (`train.checkpoints.torch_zip`). Before, it was a row of
pickles (a magic number, the protocol, what machine wrote it, a dictionary of tensors, the list of storages) followed by
the storages' raw numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_prep.runtime.command_line import UserError
from train.checkpoints.torch_pickle import (
    ArchiveError,
    Storage,
    as_array,
    load_pickle,
    storage_numbers,
    tensors_of,
)
from train.checkpoints.torch_zip import read_zip

MAX_FILE_BYTES = 2 << 30
# A torch file by its name; the last is what torch's own training examples write.
SUFFIXES = (".pth", ".pt", ".pth.tar")

_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def read_torch_archive(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a state dictionary that `torch.save` wrote, as a zip or as before torch 1.6.

    Args:
        path: The `.pth` file, at most `MAX_FILE_BYTES`. A training checkpoint whose item `state_dict` or `model` is the
            state dictionary is one too.

    Returns:
        Tensors by name, without the prefix `module.` of training on several GPUs, in the file's order: read-only arrays
        of the file's dtypes. Tensors that share a storage in the file share memory here.

    Raises:
        UserError: The file cannot be read, is of another format, is cut short, holds anything but tensors, or describes
            a tensor that does not fit its storage. One line that names the file and where in it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except ArchiveError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    if size > MAX_FILE_BYTES:
        raise ArchiveError(f"is {size} bytes long; at most {MAX_FILE_BYTES} are read")
    if size == 0:
        raise ArchiveError("is empty")
    beginning = file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    file.seek(0)
    if beginning[:4] == b"PK\x03\x04":
        return read_zip(file, size)
    if beginning[_TAR_MAGIC_AT:] == _TAR_MAGIC:
        raise ArchiveError("is a tar archive, as torch wrote before 0.1.10; load it with torch and save it again")
    storages: dict[str, Storage] = {}
    if beginning[:1] != b"\x80" or load_pickle(file, storages) != _MAGIC_NUMBER:
        raise ArchiveError("is not a torch file: it does not begin with torch's magic number")
    if load_pickle(file, storages) != _PROTOCOL_VERSION:
        raise ArchiveError(f"is written in another protocol than {_PROTOCOL_VERSION}")
    machine = load_pickle(file, storages)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ArchiveError("was not written on a little-endian machine")
    tensors = tensors_of(load_pickle(file, storages))
    keys = load_pickle(file, storages)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise ArchiveError("its list of storages is not that of its tensors")
    numbers = {key: _read_storage(file, size, storages[key]) for key in keys}
    if file.tell() != size:
        raise ArchiveError(f"{size - file.tell()} bytes follow its last storage")
    return {name: as_array(name, tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, size: int, storage: Storage) -> bytes:
    """Reads a storage's count, an int64, and its numbers, which have to be there before memory is asked for."""
    header = file.read(8)
    count = int.from_bytes(header, "little", signed=True)
    if len(header) != 8:
        raise ArchiveError(f"is cut short: it ends before storage {storage.key} (byte {size})")
    if count != storage.length:
        raise ArchiveError(f"storage {storage.key} has {count} numbers where its tensors ask for {storage.length}")
    num_bytes = count * storage.dtype.itemsize
    if num_bytes > size - file.tell():
        raise ArchiveError(f"is cut short: it ends inside storage {storage.key} (byte {size})")
    return storage_numbers(storage, file.read(num_bytes))
