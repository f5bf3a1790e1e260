"""Reads the tensors of a torch file in the old (before zip) format: without torch, and without unpickling.

Such a file is a row of pickles (a magic number, the protocol, what machine wrote it, a dictionary of tensors, the list
of storages) followed by the storages' raw numbers. Unpickling runs whatever a file asks for, so the pickles are walked
here opcode by opcode on a small stack machine of ours, which knows 30 of the 68 opcodes, calls nothing, and builds
nothing but numbers, strings, lists, dictionaries and descriptions of tensors. All else ends in one clear line.
"""

from __future__ import annotations

import mmap
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from data_prep.runtime.command_line import UserError

MAX_FILE_BYTES = 2 << 30
MAX_OPCODES_PER_PICKLE = 2_000_000
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 16

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001

_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
# torch's storage classes that NumPy has a type for, and how their numbers lie in the file.
_STORAGE_DTYPES: dict[str, np.dtype] = {
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}


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
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise _ArchiveError(f"is {size} bytes long; at most {MAX_FILE_BYTES} are read")
            if size == 0:
                raise _ArchiveError("is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(content)
    except _ArchiveError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


class _ArchiveError(Exception):
    """What is wrong with the file, to be said after its name."""


@dataclass(frozen=True)
class _Global:
    """A name that the pickle asks to import. It is never imported: only compared."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """A run of `count` numbers of one type that lies further on in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: `offset` and `strides` count elements, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read(content: mmap.mmap) -> dict[str, np.ndarray]:
    if content[:4] == b"PK\x03\x04":
        raise _ArchiveError(
            "is a torch file in the zip format; only the old format is read: load it with torch and write it again "
            "with torch.save(..., _use_new_zipfile_serialization=False)"
        )
    if content[:1] != b"\x80" or _load_pickle(content, "the magic number") != _MAGIC_NUMBER:
        raise _ArchiveError("is not a torch file: it does not begin with torch's magic number")
    if _load_pickle(content, "the protocol version") != _PROTOCOL_VERSION:
        raise _ArchiveError(f"is written in another protocol than {_PROTOCOL_VERSION}")
    machine = _load_pickle(content, "the machine's description")
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _ArchiveError("was not written on a little-endian machine")

    tensors = _load_pickle(content, "the dictionary of tensors")
    if not isinstance(tensors, dict):
        raise _ArchiveError("holds something else than a dictionary of tensors")
    if len(tensors) > MAX_TENSORS:
        raise _ArchiveError(f"holds {len(tensors)} tensors; at most {MAX_TENSORS} are read")
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor):
            raise _ArchiveError(
                f"{name[:80]!r} is not a tensor: only a flat dictionary of tensors (a state_dict) is read"
            )

    storages = _read_storages(content, {tensor.storage.key: tensor.storage for tensor in tensors.values()})
    return {name: _as_array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storages(content: mmap.mmap, wanted: dict[str, _Storage]) -> dict[str, np.ndarray]:
    """Reads the storages that follow the pickles: for each its count as an int64, then its numbers."""
    keys = _load_pickle(content, "the list of storages")
    if not isinstance(keys, list) or len(set(map(str, keys))) != len(keys) or set(keys) != set(wanted):
        raise _ArchiveError("its list of storages is not that of its tensors")
    storages = {}
    for key in keys:
        storage = wanted[key]
        header = content.read(8)
        count = int.from_bytes(header, "little", signed=True)
        if len(header) != 8:
            raise _ArchiveError(f"is cut short: it ends before storage {key} (byte {content.tell()})")
        if count != storage.count:
            raise _ArchiveError(f"storage {key} has {count} numbers where its tensors ask for {storage.count}")
        num_bytes = count * storage.dtype.itemsize
        if num_bytes > content.size() - content.tell():
            raise _ArchiveError(f"is cut short: it ends inside storage {key} (byte {content.size()})")
        data = content.read(num_bytes)
        if storage.dtype == np.bool_:  # Only 0 and 1 are booleans; a file may hold any byte.
            storages[key] = np.frombuffer(data, np.uint8) != 0
            storages[key].flags.writeable = False
        else:
            storages[key] = np.frombuffer(data, storage.dtype)
    if content.tell() != content.size():
        raise _ArchiveError(f"{content.size() - content.tell()} bytes follow its last storage")
    return storages


def _as_array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, storage.dtype)
    itemsize = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[tensor.offset :], tensor.shape, [stride * itemsize for stride in tensor.strides], writeable=False
    )


def _load_pickle(content: mmap.mmap, what: str) -> Any:
    """Builds the value of the pickle that begins where `content` stands, and leaves `content` behind it."""
    try:
        return _build(_opcodes(content), what)
    except (IndexError, KeyError, TypeError) as error:  # An opcode found the stack or the memo not as it must be.
        raise _ArchiveError(f"{what} is not a sound pickle (before byte {content.tell()})") from error


def _opcodes(content: mmap.mmap) -> Iterator[tuple[str, Any]]:
    """Yields the names and arguments of opcodes up to STOP."""
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(cast("IO[bytes]", content))):
            if number >= MAX_OPCODES_PER_PICKLE:
                raise _ArchiveError(f"has a pickle of more than {MAX_OPCODES_PER_PICKLE} opcodes")
            yield opcode.name, argument
    except ValueError as error:  # genops: an unknown opcode, or the end of the file inside one.
        where = content.tell()
        state = "is cut short" if where >= content.size() else "is damaged"
        raise _ArchiveError(f"{state}: its pickle ends at byte {where}") from error


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"})
_TUPLE_SIZES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _build(opcodes: Iterator[tuple[str, Any]], what: str) -> Any:  # noqa: PLR0912 - one branch an opcode
    """Runs the stack machine over `opcodes` and returns what STOP finds on the stack."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for name, argument in opcodes:
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLE_SIZES:
            stack.append(tuple(_pop(stack, _TUPLE_SIZES[name])))
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "TUPLE":
            stack.append(tuple(_pop_to_mark(stack)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("SETITEM", "SETITEMS"):
            _set_items(stack, _pop(stack, 2) if name == "SETITEM" else _pop_to_mark(stack))
        elif name in ("APPEND", "APPENDS"):
            values = _pop(stack, 1) if name == "APPEND" else _pop_to_mark(stack)
            _require(isinstance(stack[-1], list) and all(isinstance(value, str) for value in values), what)
            stack[-1].extend(values)
        elif name == "GLOBAL":
            stack.append(_known_global(argument, what))
        elif name == "REDUCE":
            function, arguments = _pop(stack, 2)
            stack.append(_reduce(function, arguments, what))
        elif name == "BINPERSID":
            stack.append(_storage(_pop(stack, 1)[0]))
        elif name == "BUILD":  # Attributes that torch hangs on the dictionary (versions of its modules): not tensors.
            _require(isinstance(_pop(stack, 1)[0], dict) and isinstance(stack[-1], dict), what)
        elif name == "STOP":
            break
        elif name != "PROTO":
            raise _ArchiveError(f"{what} uses the pickle opcode {name}, which no plain torch file does: not read")
    _require(len(stack) == 1, what)
    return stack[0]


def _pop(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count or any(value is _MARK for value in stack[len(stack) - count :]):
        raise IndexError("stack underflow")
    values = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return values


def _pop_to_mark(stack: list[Any]) -> list[Any]:
    values = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]


def _set_items(stack: list[Any], keys_and_values: list[Any]) -> None:
    _require(isinstance(stack[-1], dict) and len(keys_and_values) % 2 == 0, "a dictionary")
    for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
        _require(isinstance(key, str), "a dictionary's key")
        stack[-1][key] = value


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise _ArchiveError(f"{what} is not as torch writes it")


def _known_global(name: str, what: str) -> _Global:
    if name not in (_ORDERED_DICT, _REBUILD_TENSOR) and name not in _STORAGE_DTYPES:
        raise _ArchiveError(f"{what} asks for {name[:80].replace(' ', '.')}: only tensors are read, and nothing is run")
    return _Global(name)


def _reduce(function: Any, arguments: Any, what: str) -> Any:
    """What calling `function` would give, for the two calls that a state dictionary needs."""
    if function == _Global(_ORDERED_DICT) and arguments == ():
        return {}
    if function == _Global(_REBUILD_TENSOR) and isinstance(arguments, tuple) and len(arguments) in (6, 7):
        storage, offset, shape, strides = arguments[:4]
        _require(isinstance(storage, _Storage), "a tensor's storage")
        return _checked_tensor(storage, offset, shape, strides)
    raise _ArchiveError(f"{what} calls something with arguments that torch does not give")


def _checked_tensor(storage: _Storage, offset: Any, shape: Any, strides: Any) -> _Tensor:
    """A tensor description whose every element lies in its storage.

    A tensor may not have more elements than its storage: one that repeats them (stride 0) would let a small file ask
    for any amount of memory later.
    """
    for numbers in (shape, strides):
        _require(isinstance(numbers, tuple) and all(_is_count(number) for number in numbers), "a tensor's shape")
    _require(_is_count(offset) and len(shape) == len(strides) <= MAX_DIMENSIONS, "a tensor's shape")
    num_elements = 1
    last = offset
    for size, stride in zip(shape, strides, strict=True):
        num_elements *= size
        last += (size - 1) * stride
    if num_elements and (last >= storage.count or num_elements > storage.count):
        raise _ArchiveError(
            f"a tensor of shape {shape}, strides {strides} and offset {offset} does not fit its storage of "
            f"{storage.count} numbers"
        )
    return _Tensor(storage, offset, shape, strides)


def _storage(persistent_id: Any) -> _Storage:
    """The storage of ('storage', type, key, device, count, view), torch's persistent id."""
    _require(
        isinstance(persistent_id, tuple) and len(persistent_id) == 6 and persistent_id[0] == "storage", "a storage"
    )
    _, kind, key, _, count, view = persistent_id
    _require(isinstance(kind, _Global) and isinstance(key, str) and len(key) <= 80 and _is_count(count), "a storage")
    if kind.name not in _STORAGE_DTYPES or view is not None:
        raise _ArchiveError(f"storage {key} is of a kind that is not read ({kind.name.replace(' ', '.')})")
    return _Storage(key, _STORAGE_DTYPES[kind.name], count)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FILE_BYTES
