"""Reader of the tensors of a torch file in the old (before zip) format, without torch and without running the file.

Such a file is a row of pickles (a magic number, the protocol, what machine wrote it, a dictionary of tensors, the list
of storages) followed by the storages' raw numbers. A plain unpickler runs whatever a file asks for. The one here has
allow-lists of opcodes and of names, imports nothing, and calls nothing but two stand-ins for what torch calls.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np

from data_prep.runtime.command_line import UserError

MAX_FILE_BYTES = 2 << 30
MAX_PICKLE_BYTES = 4 << 20  # of some 15,000 tensors; each object that it makes takes a byte of it at least
MAX_DIMENSIONS = 16

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001


def read_torch_archive(path: str | Path) -> dict[str, np.ndarray]:
    """Reads every tensor of a state dictionary that `torch.save` wrote before torch 1.6 (or not as a zip).

    Args:
        path: The `.pth` file, at most `MAX_FILE_BYTES`.

    Returns:
        Tensors by name, in the file's order: read-only arrays of the file's dtypes. Tensors that share a storage in the
        file share memory here.

    Raises:
        UserError: The file cannot be read, is of another format, is cut short, holds anything but tensors, or describes
            a tensor that does not fit its storage. One line that names the file and where in it.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file, path.stat().st_size)
    except _ArchiveError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


class _ArchiveError(Exception):
    """A fault of the file, to be said after its name."""


class _Storage(NamedTuple):
    """A run of numbers of one type that lies further on in the file."""

    key: str
    dtype: np.dtype
    length: int


class _Tensor(NamedTuple):
    """A view of a storage, as the file describes it: `offset` and `strides` count elements, not bytes."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    if size > MAX_FILE_BYTES:
        raise _ArchiveError(f"is {size} bytes long; at most {MAX_FILE_BYTES} are read")
    if size == 0:
        raise _ArchiveError("is empty")
    beginning = file.read(4)
    file.seek(0)
    if beginning == b"PK\x03\x04":
        raise _ArchiveError(
            "is a torch file in the zip format; only the old format is read: load it with torch and write it again "
            "with torch.save(..., _use_new_zipfile_serialization=False)"
        )
    storages: dict[str, _Storage] = {}
    if beginning[:1] != b"\x80" or _load_pickle(file, storages) != _MAGIC_NUMBER:
        raise _ArchiveError("is not a torch file: it does not begin with torch's magic number")
    if _load_pickle(file, storages) != _PROTOCOL_VERSION:
        raise _ArchiveError(f"is written in another protocol than {_PROTOCOL_VERSION}")
    machine = _load_pickle(file, storages)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _ArchiveError("was not written on a little-endian machine")
    tensors = _load_pickle(file, storages)
    if not isinstance(tensors, dict):
        raise _ArchiveError("holds something else than a dictionary of tensors")
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor) or not isinstance(tensor.storage, _Storage):
            raise _ArchiveError(
                f"{name[:80]!r} is not a tensor: only a flat dictionary of tensors (a state_dict) is read"
            )
    keys = _load_pickle(file, storages)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise _ArchiveError("its list of storages is not that of its tensors")
    numbers = {key: _read_storage(file, size, storages[key]) for key in keys}
    if file.tell() != size:
        raise _ArchiveError(f"{size - file.tell()} bytes follow its last storage")
    return {name: _as_array(name, tensor, numbers[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, size: int, storage: _Storage) -> bytes:
    """Reads a storage's count, an int64, and its numbers, which have to be there before memory is asked for."""
    header = file.read(8)
    count = int.from_bytes(header, "little", signed=True)
    if len(header) != 8:
        raise _ArchiveError(f"is cut short: it ends before storage {storage.key} (byte {size})")
    if count != storage.length:
        raise _ArchiveError(f"storage {storage.key} has {count} numbers where its tensors ask for {storage.length}")
    num_bytes = count * storage.dtype.itemsize
    if num_bytes > size - file.tell():
        raise _ArchiveError(f"is cut short: it ends inside storage {storage.key} (byte {size})")
    data = file.read(num_bytes)
    if storage.dtype == np.bool_:  # Only 0 and 1 are booleans; a file may hold any byte.
        return (np.frombuffer(data, np.uint8) != 0).tobytes()
    return data


def _as_array(name: str, tensor: _Tensor, numbers: bytes) -> np.ndarray:
    """Returns the view; NumPy checks that all of it lies in the storage.

    A tensor may not have more elements than its storage: one that repeats them (stride 0) would let a small file ask
    for any amount of memory later.
    """
    storage, offset, shape, strides = tensor
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MAX_DIMENSIONS):
        raise _ArchiveError(f"the shape of tensor {name[:80]!r} is not as torch writes it")
    if not all(_is_count(number) for number in (offset, *shape, *strides)):
        raise _ArchiveError(f"the shape of tensor {name[:80]!r} is not as torch writes it")
    try:
        if 0 in shape:
            return np.zeros(shape, storage.dtype)
        if math.prod(shape) > storage.length:
            raise ValueError("it repeats numbers")
        itemsize = storage.dtype.itemsize
        byte_strides = [stride * itemsize for stride in strides]
        return np.ndarray(shape, storage.dtype, numbers, offset * itemsize, byte_strides)
    except (ValueError, OverflowError):
        raise _ArchiveError(
            f"tensor {name[:80]!r} of shape {shape}, strides {strides} and offset {offset} does not fit its storage "
            f"of {storage.length} numbers"
        ) from None


def _load_pickle(file: BinaryIO, storages: dict[str, _Storage]) -> Any:
    """Returns the value of the pickle that begins where `file` stands; adds the storages that it names."""
    start = file.tell()
    content = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    try:
        value = _TensorUnpickler(content, storages).load()
    except EOFError:
        length = len(content.getvalue())
        raise _ArchiveError(f"is cut short: its pickle at byte {start} does not end in {length} bytes") from None
    except (pickle.UnpicklingError, LookupError, TypeError, AttributeError, ValueError, struct.error) as error:
        raise _ArchiveError(f"its pickle before byte {start + content.tell()} is not as torch writes it") from error
    file.seek(start + content.tell())
    return value


class _StringDict(dict[str, Any]):
    """A dictionary whose keys are strings: hashing tuples of tuples of tuples may take for ever."""

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError("a dictionary's key is no string")
        super().__setitem__(key, value)


# The opcodes of torch's files, of the 68 that there are, but for EMPTY_DICT and BUILD.
_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.BINUNICODE, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
)
# What may be imported by name, and what stands for it: a storage class of torch's is NumPy's type of its numbers.
_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _StringDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _Tensor(*arguments[:4]),
    ("torch", "DoubleStorage"): np.dtype("<f8"),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "HalfStorage"): np.dtype("<f2"),
    ("torch", "LongStorage"): np.dtype("<i8"),
    ("torch", "IntStorage"): np.dtype("<i4"),
    ("torch", "ShortStorage"): np.dtype("<i2"),
    ("torch", "CharStorage"): np.dtype("i1"),
    ("torch", "ByteStorage"): np.dtype("u1"),
    ("torch", "BoolStorage"): np.dtype("?"),
}


class _TensorUnpickler(pickle._Unpickler):
    """Python's unpickler with allow-lists, in its Python form: that in C cannot leave out opcodes.

    In C, 5 bytes (a memo index) ask for any amount of memory, and BUILD changes attributes of what `find_class` gave.
    """

    dispatch: ClassVar[dict[int, Any]] = {opcode[0]: pickle._Unpickler.dispatch[opcode[0]] for opcode in _OPCODES}
    dispatch[pickle.EMPTY_DICT[0]] = lambda self: self.append(_StringDict())
    # The attributes that torch hangs on a dictionary (versions of its modules) are let go of.
    dispatch[pickle.BUILD[0]] = lambda self: self.stack.pop()

    def __init__(self, file: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in of a name that the pickle asks to import."""
        if (module, name) not in _STAND_INS:
            raise _ArchiveError(f"asks for {module[:80]}.{name[:80]}: only tensors are read, and nothing is run")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Returns the storage of ('storage', type, key, device, count, view), torch's persistent id."""
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise ValueError("no storage")
        if not isinstance(key, str) or len(key) > 80 or not _is_count(count):
            raise ValueError("no storage's key and count")
        storage = _Storage(key, dtype, count)
        if self._storages.setdefault(key, storage) != storage:
            raise ValueError("a storage that is described in two ways")
        return storage


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
