"""The seed that a model folder keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UserError
from train.inputs.order_seed import LARGEST_SEED, ORDER_SEED_NAME, keep_order_seed


def test_a_folder_keeps_its_seed_and_each_folder_draws_its_own(tmp_path: Path) -> None:
    seeds = {name: keep_order_seed(tmp_path / name) for name in "abcd"}
    assert len(set(seeds.values())) == 4
    assert all(0 <= seed < LARGEST_SEED for seed in seeds.values())
    assert {name: keep_order_seed(tmp_path / name) for name in "abcd"} == seeds
    assert [path.name for path in (tmp_path / "a").iterdir()] == [ORDER_SEED_NAME]


def test_workers_that_come_at_once_find_one_seed(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = [tmp_path / str(number // 8) for number in range(80)]
        seeds = list(pool.map(keep_order_seed, folders))
    assert all(len(set(seeds[start : start + 8])) == 1 for start in range(0, 80, 8))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"seed": "7"}', '{"seed": -1}', '{"seed": true}', "{}", "[[" * 50_000]
)
def test_a_file_that_holds_no_seed_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / ORDER_SEED_NAME).write_text(text)
    with pytest.raises(UserError, match=r"input_order\.json holds no seed .*; delete it") as refused:
        keep_order_seed(tmp_path)
    assert "\n" not in str(refused.value)
