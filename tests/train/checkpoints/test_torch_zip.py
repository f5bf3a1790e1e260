"""Archives are assembled here as `torch.save` lays them out, so that sound and hostile ones alike need no torch."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.runtime.command_line import UserError
from tests.train.checkpoints.test_torch_archive import SIX, imported, number, tensor, text, tuple_of
from train.checkpoints import torch_zip
from train.checkpoints.torch_archive import read_torch_archive
from train.checkpoints.torch_pickle import MAX_PICKLE_BYTES


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    """A persistent id of five items, where the old layout has six."""
    return tuple_of(text("storage"), imported("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def state(tensors: dict[str, bytes]) -> bytes:
    items = b"".join(text(name) + opcodes for name, opcodes in tensors.items())
    return b"\x80\x02" + imported("collections", "OrderedDict") + b")R(" + items + b"u}" + text("_metadata") + b"}sb."


def torch_zip_of(
    described: bytes, storages: dict[str, bytes], *, byteorder: bytes = b"little", compression: int = zipfile.ZIP_STORED
) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        archive.writestr("archive/data.pkl", described)
        archive.writestr("archive/byteorder", byteorder)
        for key, data in storages.items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/.data/serialization_id", "0" * 40)
    return content.getvalue()


def state_dict_file(tensors: dict[str, np.ndarray]) -> bytes:
    """The content of a torch file with tensors of type float32 and int64, each contiguous in a storage of its own."""
    kinds = {"f": "FloatStorage", "i": "LongStorage"}
    described, storages = {}, {}
    for key, (name, value) in enumerate(tensors.items()):
        strides = tuple(int(np.prod(value.shape[axis + 1 :])) for axis in range(value.ndim))
        described[name] = tensor(storage(str(key), value.size, kinds[value.dtype.kind]), 0, value.shape, strides)
        storages[str(key)] = value.tobytes()
    return torch_zip_of(state(described), storages)


ROW = tensor(storage("0", 6), 0, (2, 3), (3, 1))
WHOLE = torch_zip_of(state({"w": ROW}), {"0": SIX.tobytes()})


@pytest.fixture
def write(tmp_path):
    def write_archive(content: bytes) -> str:
        path = tmp_path / "weights.pth"
        path.write_bytes(content)
        return str(path)

    return write_archive


def refusal(path: str) -> str:
    with pytest.raises(UserError) as caught:
        read_torch_archive(path)
    message = str(caught.value)
    assert "\n" not in message and "weights.pth: " in message and len(message) < 500
    return message


def test_reads_what_torch_saves(write):
    described = state(
        {
            "rows": ROW,
            "tail": tensor(storage("0", 6), 4, (2,), (1,)),
            "counter": tensor(storage("1", 1, "LongStorage"), 0, (), ()),
            "half": tensor(storage("2", 2, "HalfStorage"), 0, (2,), (1,)),
        }
    )
    numbers = {
        "0": SIX.tobytes(),
        "1": np.int64(7).tobytes(),
        "2": np.array([0.5, 2], np.float16).tobytes(),
    }
    tensors = read_torch_archive(write(torch_zip_of(described, numbers)))
    assert list(tensors) == ["rows", "tail", "counter", "half"]
    np.testing.assert_array_equal(tensors["rows"], SIX.reshape(2, 3))
    np.testing.assert_array_equal(tensors["tail"], [4, 5])
    assert int(tensors["counter"]) == 7
    np.testing.assert_array_equal(tensors["half"], [0.5, 2])
    assert not tensors["rows"].flags.writeable


def test_every_truncation_is_one_line(write):
    for length in range(1, len(WHOLE), 7):
        refusal(write(WHOLE[:length]))


def test_damaged_numbers_are_told_by_their_checksum(write):
    damaged = bytearray(WHOLE)
    damaged[WHOLE.index(SIX.tobytes())] ^= 0xFF
    assert "Bad CRC-32 for file 'archive/data/0'" in refusal(write(bytes(damaged)))


def test_every_damaged_byte_reads_or_is_one_line(write):
    for position in range(0, len(WHOLE), 3):
        damaged = bytearray(WHOLE)
        damaged[position] ^= 0xFF
        try:
            read_torch_archive(write(bytes(damaged)))
        except UserError as error:
            assert "\n" not in str(error)


class Hostile:
    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_runs_nothing_that_a_pickle_asks_for(write, tmp_path):
    hostile = Hostile()
    hostile.path = str(tmp_path / "made-by-the-pickle")
    for protocol in (0, 2, 4):
        refusal(write(torch_zip_of(pickle.dumps({"w": hostile}, protocol), {})))
    message = refusal(write(torch_zip_of(pickle.dumps({"w": hostile}, 2), {})))
    assert "asks for posix.system: only tensors are read, and nothing is run" in message
    assert not Path(hostile.path).exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch_zip_of(state({"w": ROW}), {}), "holds no numbers of storage 0"),
        (torch_zip_of(state({"w": ROW}), {"0": bytes(20)}), "storage 0 has 20 bytes where its tensors ask for 24"),
        (torch_zip_of(state({"w": ROW}), {"0": SIX.tobytes()}, byteorder=b"big"), "little-endian"),
        (
            torch_zip_of(state({"w": ROW}), {"0": SIX.tobytes()}, compression=zipfile.ZIP_DEFLATED),
            "'archive/byteorder' is compressed, which torch does not do",
        ),
        (
            torch_zip_of(state({"w": tensor(storage("0", 2**31 - 1), 0, (6,), (1,))}), {"0": SIX.tobytes()}),
            "its tensors ask for 8589934588 bytes of numbers",
        ),
        (
            torch_zip_of(state({"w": tensor(storage("0", 6), 0, (1000, 1000), (0, 0))}), {"0": SIX.tobytes()}),
            "does not fit its storage of 6 numbers",
        ),
        (torch_zip_of(bytes(MAX_PICKLE_BYTES + 1), {}), f"data.pkl is {MAX_PICKLE_BYTES + 1} bytes long"),
        (torch_zip_of(b"\x80\x02]" + number(1) + b"a.", {}), "something else than a dictionary of tensors"),
    ],
)
def test_refuses_what_does_not_add_up(write, content, message):
    assert message in refusal(write(content))


def test_members_that_lie_over_one_another_give_no_more_than_the_file_has(write):
    """Storages that all point at the same bytes: each small enough, together more than the file."""
    described = state({f"w{key}": tensor(storage(str(key), 6000), 0, (6000,), (1,)) for key in range(50)})
    assert "its tensors ask for 1200000 bytes of numbers" in refusal(
        write(torch_zip_of(described, {"0": bytes(24_000)}))
    )


def test_a_huge_directory_gets_no_memory(write, monkeypatch):
    monkeypatch.setattr(torch_zip, "MAX_DIRECTORY_BYTES", 200)
    assert "its zip directory takes more than 200 bytes" in refusal(write(WHOLE))
    monkeypatch.undo()
    end = WHOLE.rindex(b"PK\x05\x06")
    for promised in (2**31, 2**32 - 1):  # bytes of a directory that is not there
        refusal(write(WHOLE[: end + 12] + struct.pack("<I", promised) + WHOLE[end + 16 :]))


def test_says_what_other_zips_are(write):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")
    assert "none of torch's: 0 members NAME/data.pkl" in refusal(write(content.getvalue()))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}.")
        archive.writestr("model/constants.pkl", b"\x80\x02).")
    assert "is a TorchScript program; save the state dictionary" in refusal(write(content.getvalue()))
