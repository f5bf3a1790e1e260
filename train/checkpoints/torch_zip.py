"""Reader of torch's zip layout, which `torch.save` has written since torch 1.6.

`NAME/data.pkl` describes the tensors, `NAME/data/KEY` has the numbers of each storage, `NAME/byteorder` says which byte
comes first. Members are stored as they are: a compressed one is none of torch's, and could be a bomb.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any, BinaryIO

import numpy as np

from train.checkpoints.torch_pickle import (
    MAX_PICKLE_BYTES,
    ArchiveError,
    Storage,
    as_array,
    load_pickle,
    storage_numbers,
    tensors_of,
)

# Of some 50,000 storages; `zipfile` makes ten times as much of it.
MAX_DIRECTORY_BYTES = 4 << 20

_PICKLE, _SCRIPT = "data.pkl", "constants.pkl"
# What `zipfile` raises for what it cannot read: among them names that are no UTF-8, encryption, and an early end.
_ZIP_ERRORS = (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)


class _BoundedFile:
    """A file whose reads are bounded, so that a directory that promises any size gets no memory."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self.limit = limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """Reads at most `limit` bytes."""
        # `zipfile` asks for all that is left where it looks for the directory's end, of 64 KiB at most.
        data = self._file.read(min(size, self.limit + 1) if size >= 0 else self.limit + 1)
        if len(data) > self.limit or size > self.limit:
            raise ArchiveError(f"its zip directory takes more than {self.limit} bytes")
        return data


def read_zip(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    """Reads every tensor of the state dictionary in a torch file in the zip layout.

    Args:
        file: The file.
        size: Its length in bytes.

    Returns:
        Read-only arrays by name.

    Raises:
        ArchiveError: It is no such file, is cut short or damaged, or holds anything but tensors.
    """
    bounded: Any = _BoundedFile(file, MAX_DIRECTORY_BYTES)
    try:
        with zipfile.ZipFile(bounded) as archive:
            bounded.limit = size
            members = {member.filename: member for member in archive.infolist()}
            return _read_members(archive, members, size)
    except _ZIP_ERRORS as error:
        detail = next(iter(str(error).splitlines()), "")[:120] or type(error).__name__
        raise ArchiveError(f"is a zip archive that is cut short or damaged: {detail}") from error


def _read_members(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], size: int) -> dict[str, np.ndarray]:
    roots = [name.removesuffix(_PICKLE) for name in members if name.endswith(f"/{_PICKLE}") and name.count("/") == 1]
    if len(roots) != 1:
        raise ArchiveError(f"is a zip archive, but none of torch's: {len(roots)} members NAME/{_PICKLE}, not 1")
    root = roots[0]
    if root + _SCRIPT in members:
        raise ArchiveError(
            "is a TorchScript program; save the state dictionary of the model: torch.save(model.state_dict(), PATH)"
        )
    order = members.get(root + "byteorder")
    if order is not None and (order.file_size > 6 or _read_member(archive, order) != b"little"):
        raise ArchiveError("was not written on a little-endian machine")
    described = members[root + _PICKLE]
    if described.file_size > MAX_PICKLE_BYTES:
        raise ArchiveError(f"its {_PICKLE} is {described.file_size} bytes long; at most {MAX_PICKLE_BYTES} are read")
    storages: dict[str, Storage] = {}
    tensors = tensors_of(load_pickle(io.BytesIO(_read_member(archive, described)), storages))
    wanted = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    # Members that lie over one another would give more than the file holds.
    if (num_bytes := sum(storage.length * storage.dtype.itemsize for storage in wanted.values())) > size:
        raise ArchiveError(f"its tensors ask for {num_bytes} bytes of numbers, and it has {size} in all")
    numbers = {
        key: _read_storage(archive, members.get(f"{root}data/{key}"), storage) for key, storage in wanted.items()
    }
    return {name: as_array(name, tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, storage: Storage) -> bytes:
    if member is None:
        raise ArchiveError(f"holds no numbers of storage {storage.key}")
    num_bytes = storage.length * storage.dtype.itemsize
    if member.file_size != num_bytes:
        raise ArchiveError(f"storage {storage.key} has {member.file_size} bytes where its tensors ask for {num_bytes}")
    return storage_numbers(storage, _read_member(archive, member))


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        raise ArchiveError(f"{member.filename[:80]!r} is compressed, which torch does not do")
    return archive.read(member)
