"""Archives are assembled here opcode by opcode, so that sound and hostile ones alike need no torch to write them."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from data_prep.runtime.command_line import UserError
from train.checkpoints import torch_pickle
from train.checkpoints.torch_archive import read_torch_archive


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def tuple_of(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def imported(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    return tuple_of(text("storage"), imported("torch", kind), text(key), text("cpu"), number(count), b"N") + b"Q"


def tensor(storage_opcodes: bytes, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    hooks = imported("collections", "OrderedDict") + b")R"
    arguments = tuple_of(
        storage_opcodes, number(offset), tuple_of(*map(number, shape)), tuple_of(*map(number, strides)), b"\x89", hooks
    )
    return imported("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def archive(
    tensors: dict[str, bytes],
    storages: dict[str, np.ndarray],
    *,
    magic: int = 0x1950A86A20F9469CFC6C,
    little_endian: bool = True,
) -> bytes:
    header = pickle.dumps(magic, 2) + pickle.dumps(1001, 2)
    header += pickle.dumps({"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}, 2)
    items = b"".join(text(name) + opcodes for name, opcodes in tensors.items())
    state = b"\x80\x02" + imported("collections", "OrderedDict") + b")R(" + items + b"u"
    state += b"}" + text("_metadata") + b"}sb."  # what torch hangs on a state dictionary
    data = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return header + state + pickle.dumps(list(storages), 2) + data


@pytest.fixture
def write(tmp_path):
    def write_archive(content: bytes) -> str:
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        return str(path)

    return write_archive


SIX = np.arange(6, dtype=np.float32)


def test_reads_shapes_strides_offsets_and_types(write):
    longs = np.array([7, -(2**40)], np.int64)
    flags = np.array([0, 1, 200], np.uint8)
    tensors = read_torch_archive(
        write(
            archive(
                {
                    "rows": tensor(storage("a", 6), 0, (2, 3), (3, 1)),
                    "transposed": tensor(storage("a", 6), 0, (3, 2), (1, 3)),
                    "tail": tensor(storage("a", 6), 4, (2,), (1,)),
                    "scalar": tensor(storage("b", 2, "LongStorage"), 1, (), ()),
                    "flags": tensor(storage("c", 3, "BoolStorage"), 0, (3,), (1,)),
                    "empty": tensor(storage("a", 6), 0, (0, 3), (3, 1)),
                },
                {"a": SIX, "b": longs, "c": flags},
            )
        )
    )

    assert list(tensors) == ["rows", "transposed", "tail", "scalar", "flags", "empty"]
    np.testing.assert_array_equal(tensors["rows"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(tensors["transposed"], SIX.reshape(2, 3).T)
    np.testing.assert_array_equal(tensors["tail"], [4, 5])
    assert tensors["scalar"].shape == () and int(tensors["scalar"]) == -(2**40)
    np.testing.assert_array_equal(tensors["flags"], [False, True, True])
    assert tensors["empty"].shape == (0, 3)
    assert not any(array.flags.writeable for name, array in tensors.items() if name != "empty")


def test_reads_what_training_scripts_save(write):
    """As torch's ImageNet example: a state dictionary of DataParallel's beside the epoch and the optimizer's state."""
    row = tensor(storage("a", 6), 0, (6,), (1,))
    state = b"}(" + text("module.w") + imported("torch._utils", "_rebuild_parameter")
    state += tuple_of(row, b"\x88", imported("collections", "OrderedDict") + b")R") + b"Ru"
    optimizer = b"}(" + number(0) + b"G" + struct.pack(">d", 0.1) + text("step") + row + b"u"
    content = archive({"epoch": number(90), "state_dict": state, "optimizer": optimizer}, {"a": SIX})
    tensors = read_torch_archive(write(content))
    assert list(tensors) == ["w"]
    np.testing.assert_array_equal(tensors["w"], SIX)


def test_every_truncation_is_one_line(write):
    whole = archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX})
    read_torch_archive(write(whole))
    for length in range(1, len(whole)):
        with pytest.raises(UserError) as caught:
            read_torch_archive(write(whole[:length]))
        assert "\n" not in str(caught.value) and "weights.pth" in str(caught.value)


def test_every_damaged_byte_reads_or_is_one_line(write):
    whole = bytearray(archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX}))
    refused = 0
    for position in range(len(whole)):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        try:
            read_torch_archive(write(bytes(damaged)))
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > len(whole) // 2


class Hostile:
    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_runs_nothing_that_a_pickle_asks_for(write, tmp_path):
    victim = tmp_path / "made-by-the-pickle"
    hostile = Hostile()
    hostile.path = str(victim)
    header = archive({}, {})[: archive({}, {}).index(b"ccollections")]
    for attack in (pickle.dumps(hostile, protocol) for protocol in (0, 2, 4)):
        for content in (attack, header[:-2] + attack):
            with pytest.raises(UserError):
                read_torch_archive(write(content))
    assert not victim.exists()
    with pytest.raises(UserError, match=r"asks for posix.system: only tensors are read, and nothing is run"):
        read_torch_archive(write(header + imported("posix", "system") + tuple_of(text("true")) + b"R."))


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (tensor(storage("a", 6), 0, (7,), (1,)), "does not fit its storage of 6 numbers"),
        (tensor(storage("a", 6), 1, (2, 3), (3, 1)), "does not fit"),
        (tensor(storage("a", 6), 0, (2, 3), (4, 1)), "does not fit"),
        (tensor(storage("a", 6), 0, (1000, 1000), (0, 0)), "does not fit"),
        (tensor(storage("a", 6), -1, (2,), (1,)), "not as torch writes it"),
        (tensor(storage("a", 6), 3, (2,), (-1,)), "not as torch writes it"),
        (tensor(storage("a", -6), 0, (), ()), "not as torch writes it"),
        (tensor(storage("a", 2**31 - 1), 0, (6,), (1,)), "6 numbers where its tensors ask for 2147483647"),
        (tensor(storage("a", 6, "QInt8Storage"), 0, (6,), (1,)), "asks for torch.QInt8Storage"),
        (tensor(storage("b", 6), 0, (6,), (1,)), "list of storages is not that of its tensors"),
        (imported("collections", "OrderedDict") + b")R", "'w' is not a tensor"),
        (text("a word"), "'w' is not a tensor"),
    ],
)
def test_refuses_what_does_not_add_up(write, opcodes, message):
    with pytest.raises(UserError, match=message):
        read_torch_archive(write(archive({"w": opcodes}, {"a": SIX})))


def test_a_promised_size_allocates_nothing(write):
    """A file of a few hundred bytes that claims 8 GB is refused by its length, before any memory is asked for."""
    huge = archive({"w": tensor(storage("a", 2**31 - 1), 0, (6,), (1,))}, {"a": SIX})
    at = huge.rindex(struct.pack("<q", 6))
    with pytest.raises(UserError, match="cut short: it ends inside storage"):
        read_torch_archive(write(huge[:at] + struct.pack("<q", 2**31 - 1) + huge[at + 8 :]))


def nested_tuples(depth: int) -> bytes:
    """A tuple of two of a tuple of two of ...: an opcode or two a level, and 2^depth steps to hash it."""
    return b")" + b"q\x00h\x00\x86" * depth


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        (b"}(" + nested_tuples(64) + b"Nu", "not as torch writes it"),
        (b"}" + b")" + b"\x85" * 1_000_000 + b"Ns", "not as torch writes it"),
        (b"}r\xff\xff\xff\xff", "'w' is not a tensor"),
        (b"\x96" + struct.pack("<Q", 2**62), "not as torch writes it"),
        (imported("collections", "OrderedDict") + b"}" + text("__init__") + b"NsN\x86b", "'w' is not a tensor"),
        (
            tensor(storage("a", 6), 0, (0,) * 17, (0,) * 17),
            "not as torch writes it",
        ),
        (
            tensor(storage("a", 1000), 0, (1000,), (1,)) + text("v") + tensor(storage("a", 6), 0, (6,), (1,)),
            "not as torch writes it",
        ),
    ],
    ids=["hash", "depth", "memo", "bytearray", "attributes", "dimensions", "storage described twice"],
)
def test_refuses_in_little_time_and_memory(write, opcodes, message):
    with pytest.raises(UserError, match=message) as caught:
        read_torch_archive(write(archive({"w": opcodes}, {"a": SIX})))
    assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)
    read_torch_archive(write(archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX})))  # nothing was changed


def test_a_pickle_is_read_up_to_a_length(write, monkeypatch):
    monkeypatch.setattr(torch_pickle, "MAX_PICKLE_BYTES", 1000)
    with pytest.raises(UserError, match=r"its pickle at byte [0-9]+ does not end in 1000 bytes"):
        read_torch_archive(write(archive({"w": b"]" * 2000}, {"a": SIX})))


def test_a_list_of_storages_that_is_none(write):
    good = archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX})
    at = good.rindex(pickle.dumps(["a"], 2))
    for other in (b"\x80\x02K\x07.", b"\x80\x02]" + b"]" * 100_000 + b"a" * 100_000 + b".", b"\x80\x02]K\x07a."):
        with pytest.raises(UserError, match="list of storages is not that of its tensors"):
            read_torch_archive(write(good[:at] + other + good[at + len(pickle.dumps(["a"], 2)) :]))


def test_says_what_other_files_are(write, tmp_path):
    good = archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX})
    for content, message in (
        (b"PK\x03\x04" + bytes(100), "zip archive that is cut short or damaged"),
        (b"", "is empty"),
        (b"storages".ljust(257, b"\0") + b"ustar" + bytes(250), "is a tar archive, as torch wrote before"),
        (b"\x89PNG\r\n" + bytes(100), "magic number"),
        (archive({}, {}, magic=12), "magic number"),
        (archive({}, {}, little_endian=False), "little-endian"),
        (good + b"more", "4 bytes follow"),
    ):
        with pytest.raises(UserError, match=message):
            read_torch_archive(write(content))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_torch_archive(tmp_path / "absent.pth")
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_torch_archive(tmp_path)


def test_needs_neither_torch_nor_tensorflow(write):
    path = write(archive({"w": tensor(storage("a", 6), 0, (6,), (1,))}, {"a": SIX}))
    code = (
        "import sys; from train.checkpoints.torch_archive import read_torch_archive; "
        f"print(read_torch_archive({path!r})['w'].sum(), 'torch' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["15.0", "False", "False"]
