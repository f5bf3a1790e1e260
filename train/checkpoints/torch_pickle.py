"""The pickles inside torch's files, and the tensors that they describe, read without torch, with nothing run.

A plain unpickler runs whatever a file asks for. The one here has allow-lists of opcodes and of names, imports nothing,
and calls nothing but stand-ins for what torch calls.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np

MAX_PICKLE_BYTES = 4 << 20  # of some 15,000 tensors; each object that it makes takes a byte of it at least
MAX_DIMENSIONS = 16


# Where training scripts put the state dictionary in what they save.
_STATE_KEYS = ("state_dict", "model")
# Put before every name by torch's DataParallel and DistributedDataParallel.
_PARALLEL_PREFIX = "module."


class ArchiveError(Exception):
    """A fault of the file, to be said after its name."""


class Storage(NamedTuple):
    """A run of numbers of one type that lies further on in the file."""

    key: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A view of a storage, as the file describes it: `offset` and `strides` count elements, not bytes."""

    storage: Any
    offset: Any
    shape: Any
    strides: Any


def tensors_of(state: Any) -> dict[str, Tensor]:
    """The tensors of what a file's pickle holds: a state dictionary, or a training script's with one inside.

    Raises:
        ArchiveError: It holds something else.
    """
    if not isinstance(state, dict):
        raise ArchiveError("holds something else than a dictionary of tensors")
    state = next((state[key] for key in _STATE_KEYS if isinstance(state.get(key), dict)), state)
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor) or not isinstance(tensor.storage, Storage):
            raise ArchiveError(
                f"{str(name)[:80]!r} is not a tensor: only a flat dictionary of tensors (a state_dict) is read"
            )
    is_parallel = all(name.startswith(_PARALLEL_PREFIX) for name in state)
    return {name.removeprefix(_PARALLEL_PREFIX) if is_parallel else name: tensor for name, tensor in state.items()}


def storage_numbers(storage: Storage, data: bytes) -> bytes:
    """A storage's numbers as NumPy may take them: only 0 and 1 are booleans, and a file may hold any byte."""
    return (np.frombuffer(data, np.uint8) != 0).tobytes() if storage.dtype == np.bool_ else data


def as_array(name: str, tensor: Tensor, numbers: bytes) -> np.ndarray:
    """Returns the view; NumPy checks that all of it lies in the storage.

    A tensor may not have more elements than its storage: one that repeats them (stride 0) would let a small file ask
    for any amount of memory later.
    """
    storage, offset, shape, strides = tensor
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MAX_DIMENSIONS):
        raise ArchiveError(f"the shape of tensor {name[:80]!r} is not as torch writes it")
    if not all(_is_count(number) for number in (offset, *shape, *strides)):
        raise ArchiveError(f"the shape of tensor {name[:80]!r} is not as torch writes it")
    try:
        if 0 in shape:
            return np.zeros(shape, storage.dtype)
        if math.prod(shape) > storage.length:
            raise ValueError("it repeats numbers")
        itemsize = storage.dtype.itemsize
        byte_strides = [stride * itemsize for stride in strides]
        return np.ndarray(shape, storage.dtype, numbers, offset * itemsize, byte_strides)
    except (ValueError, OverflowError):
        raise ArchiveError(
            f"tensor {name[:80]!r} of shape {shape}, strides {strides} and offset {offset} does not fit its storage "
            f"of {storage.length} numbers"
        ) from None


def load_pickle(file: BinaryIO, storages: dict[str, Storage]) -> Any:
    """Returns the value of the pickle that begins where `file` stands; adds the storages that it names."""
    start = file.tell()
    content = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    try:
        value = _TensorUnpickler(content, storages).load()
    except EOFError:
        length = len(content.getvalue())
        raise ArchiveError(f"is cut short: its pickle at byte {start} does not end in {length} bytes") from None
    except (pickle.UnpicklingError, LookupError, TypeError, AttributeError, ValueError, struct.error) as error:
        raise ArchiveError(f"its pickle before byte {start + content.tell()} is not as torch writes it") from error
    file.seek(start + content.tell())
    return value


class _PlainDict(dict[Any, Any]):
    """A dictionary whose keys are strings and integers: hashing tuples of tuples of tuples may take for ever."""

    def __init__(self) -> None:
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) not in (str, int):
            raise TypeError("a dictionary's key is neither a string nor an integer")
        super().__setitem__(key, value)


# The opcodes of torch's files, of the 68 that there are, but for EMPTY_DICT and BUILD.
_OPCODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BINPERSID),
    *(
        pickle.BINFLOAT,
        pickle.NONE,
        pickle.NEWTRUE,
        pickle.NEWFALSE,
        pickle.BININT,
        pickle.BININT1,
        pickle.BININT2,
        pickle.LONG1,
    ),
    *(pickle.BINUNICODE, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_LIST, pickle.APPEND, pickle.APPENDS, pickle.SETITEM, pickle.SETITEMS),
    *(pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
)
# What may be imported by name, and what stands for it: a storage class of torch's is NumPy's type of its numbers.
_STAND_INS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _PlainDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: Tensor(*arguments[:4]),
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
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
    dispatch[pickle.EMPTY_DICT[0]] = lambda self: self.append(_PlainDict())
    # The attributes that torch hangs on a dictionary (versions of its modules) are let go of.
    dispatch[pickle.BUILD[0]] = lambda self: self.stack.pop()

    def __init__(self, file: BinaryIO, storages: dict[str, Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Returns the stand-in of a name that the pickle asks to import."""
        if (module, name) not in _STAND_INS:
            raise ArchiveError(f"asks for {module[:80]}.{name[:80]}: only tensors are read, and nothing is run")
        return _STAND_INS[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Returns the storage of torch's persistent id: ('storage', type, key, device, count), in old files a view."""
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view not in ([], [None]):
            raise ValueError("no storage")
        if not isinstance(key, str) or len(key) > 80 or not _is_count(count):
            raise ValueError("no storage's key and count")
        storage = Storage(key, dtype, count)
        if self._storages.setdefault(key, storage) != storage:
            raise ValueError("a storage that is described in two ways")
        return storage


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
