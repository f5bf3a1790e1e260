"""That the extras in pyproject.toml and the requirements files ask for the same."""

from __future__ import annotations

import re

from tests.built_distributions import ROOT


def extras() -> dict[str, list[str]]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    return {
        name: re.findall(r'"([^"]+)"', lines)
        for name, lines in re.findall(r"^([\w-]+) = \[(.*?)\]$", project, re.MULTILINE | re.DOTALL)
    }


def by_name(lines: list[str]) -> dict[str, str]:
    """Requirements by name; of two for one name the later, which has to be the narrower."""
    named = (re.match(r"[\w.-]+", line) for line in lines if not line.startswith("object-detection-road"))
    return {match[0]: match.string for match in named if match}


def lines_of(name: str) -> list[str]:
    lines = [line.strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def test_requirements_txt_is_the_base_with_train_and_what_train_includes():
    found = extras()
    assert found["train"][0] == "object-detection-road[serve,tables]"
    together = by_name(found["dependencies"] + found["serve"] + found["tables"] + found["train"])
    assert len(together) > 20
    assert by_name(lines_of("requirements.txt")) == together


def test_the_other_files_are_their_extras():
    found = extras()
    for name in ("beam", "tracking"):
        assert lines_of(f"requirements-{name}.txt") == found[name]
    assert found["dev"][0] == "object-detection-road[train,app,tracking]"
    assert lines_of("requirements-dev.txt") == found["dev"][1:]


def test_the_app_needs_the_base_and_streamlit():
    found = extras()
    file = by_name(lines_of("requirements-app.txt"))
    assert [file.pop("streamlit")] == found["app"]
    # As requirements.txt has them, where one of them is narrower for the sake of training.
    wanted = by_name(lines_of("requirements.txt"))
    assert file.keys() < by_name(found["dependencies"]).keys()
    assert file == {name: wanted[name] for name in file}
