"""Plugins as configs see them: what they register, how their settings are read, and what is said of mistakes."""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from configs.schema import pipeline_file
from configs.settings import plugins
from configs.settings.loading import LoadedConfig, add_config_arguments, examine
from configs.settings.plugins import load_plugin, register_augmentation, register_metric

SSD = Path(pipeline_file.__file__).parents[1] / "ssd_resnet50_v1_fpn_640.config"
FASTER_RCNN = SSD.with_name("faster_rcnn_resnet50_v1_640.config")


@dataclasses.dataclass(frozen=True)
class Fog:
    density: float
    layers: int = 1
    is_dark: bool = False
    colour: str = "white"

    def __post_init__(self) -> None:
        if not 0.0 <= self.density <= 1.0:
            raise ValueError("density must be from 0 to 1")
        if self.is_dark and self.colour == "white":
            raise ValueError("white fog is not dark")


def add_fog() -> None:
    """Never called here."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_REGISTERED", {kind: {} for kind in plugins._REGISTERED})


@pytest.fixture
def fog() -> None:
    register_augmentation("fog", settings=Fog, function=add_fog)


def examined(extensions: str, more: str = "", path: Path = SSD, ignore: tuple[str, ...] = ()) -> LoadedConfig:
    config = pipeline_file.merge(pipeline_file.read_pipeline_config(path), f"extensions {{ {extensions} }} {more}")
    return examine(config, "p", ignore)


def problems(extensions: str, more: str = "", path: Path = SSD) -> list[str]:
    return [str(problem) for problem in examined(extensions, more, path).problems]


@pytest.mark.usefixtures("fog")
class TestSettings:
    def test_numbers_flags_and_texts_become_the_fields_of_the_plugins_dataclass(self):
        text = (
            'augmentation { name: "fog" numbers { key: "density" value: 0.25 } numbers { key: "layers" value: 3 } '
            'numbers { key: "is_dark" value: 1 } texts { key: "colour" value: "grey" } }'
        )
        settings = examined(text).settings
        assert settings is not None
        (part,) = settings.extensions.augmentation
        own = part.own_settings("augmentation")
        assert own == Fog(0.25, 3, True, "grey")
        assert [type(value) for value in dataclasses.astuple(own)] == [float, int, bool, str]
        assert part.function("augmentation") is add_fog

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            ("", 'numbers["density"]: is not set; write numbers { key: "density" value: ... }'),
            (
                'numbers { key: "densty" value: 1 }',
                'numbers["densty"]: "fog" has no such setting among its numbers; use one of density, layers, is_dark',
            ),
            (
                'texts { key: "density" value: "1" }',
                'texts["density"]: "fog" has no such setting among its texts; write it into numbers',
            ),
            (
                'numbers { key: "density" value: 1 } numbers { key: "layers" value: 1.5 }',
                'numbers["layers"]: 1.5 is no whole number; use one that is',
            ),
            (
                'numbers { key: "density" value: 1 } numbers { key: "is_dark" value: 2 }',
                'numbers["is_dark"]: 2 is no flag; use 0 or 1',
            ),
            ('numbers { key: "density" value: -1 }', 'numbers["density"]: -1 must be from 0 to 1; use one that is'),
            (
                'numbers { key: "density" value: nan }',
                'numbers["density"]: nan is no finite number; write one that is',
            ),
        ],
    )
    def test_a_value_that_cannot_be_honoured_is_refused_by_its_path(self, words: str, problem: str):
        found = problems(f'augmentation {{ name: "fog" {words} }}')
        assert f"extensions.augmentation[0].{problem}" in found

    def test_what_fields_are_together_is_refused_at_the_part(self):
        found = problems(
            'augmentation { name: "fog" numbers { key: "density" value: 1 } numbers { key: "is_dark" value: 1 } }'
        )
        assert found == ['extensions.augmentation[0]: white fog is not dark; see Fog, the settings of "fog"']

    def test_a_part_that_nothing_registers_is_refused_with_those_that_are_and_can_be_ignored(self):
        text = 'augmentation { name: "frog" }'
        loaded = examined(text)
        assert [str(problem) for problem in loaded.problems] == [
            'extensions.augmentation[0].name: "frog" is no registered augmentation; use one of fog, or name the module '
            "that registers it: --plugin MODULE"
        ]
        loaded = examined(text, ignore=("extensions.augmentation[0].name",))
        assert loaded.problems == ()
        assert list(loaded.config.extensions.augmentation) == []

    def test_a_part_of_one_kind_is_none_of_another(self):
        assert 'extensions.metric[0].name: "fog" is no registered metric' in problems('metric { name: "fog" }')[0]


class TestWhatParts:
    """What a part and the rest of the config must be together."""

    @pytest.fixture(autouse=True)
    def parts(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Nothing:
            pass

        for register in (
            plugins.register_augmentation,
            plugins.register_feature_extractor,
            plugins.register_classification_loss,
            plugins.register_metric,
        ):
            register("mine", settings=Nothing, function=add_fog)

    def test_a_feature_extractor_needs_its_type_and_the_type_needs_one(self):
        with_type = 'model { ssd { feature_extractor { type: "ssd_plugin_fpn" } } }'
        assert problems('feature_extractor { name: "mine" }', with_type) == []
        (found,) = problems('feature_extractor { name: "mine" }')
        assert found.startswith("extensions.feature_extractor: the model's feature_extractor.type is")
        assert problems("", with_type) == [
            "extensions.feature_extractor: is not set; write extensions { feature_extractor { name: ... } }"
        ]

    def test_a_loss_takes_the_models_place_and_a_faster_rcnn_has_none(self):
        loaded = examined('classification_loss { name: "mine" }')
        assert loaded.problems == ()
        path = "model.ssd.loss.classification_loss.weighted_sigmoid_focal"
        assert any(note.path == path and "has no effect" in note.text for note in loaded.notes)
        (found,) = problems('classification_loss { name: "mine" }', path=FASTER_RCNN)
        assert found.startswith("extensions.classification_loss: only model.ssd has a place for it")

    def test_a_metric_stands_once_and_can_be_what_training_stops_by(self):
        stop = 'early_stopping { metric: "mine/all" }'
        assert problems(f'metric {{ name: "mine" }} {stop}') == []
        (found,) = problems(stop)
        assert '"mine/all" is not measured' in found
        (found,) = problems('metric { name: "mine" } metric { name: "mine" }')
        assert found == 'extensions.metric[1].name: "mine" is there already; delete one of the two'


class TestRegistering:
    def test_two_parts_of_one_name_are_refused(self):
        register_metric("mine", settings=Fog, function="a:b")
        register_metric("mine", settings=Fog, function="a:b")  # the same again
        with pytest.raises(ValueError, match="two parts are registered as metric 'mine'"):
            register_metric("mine", settings=Fog, function="a:c")

    def test_what_cannot_be_read_from_a_config_is_refused(self):
        @dataclasses.dataclass(frozen=True)
        class Listed:
            sizes: list

        for name, settings, function, match in (
            ("a", Listed, "a:b", "Listed.sizes is of <class 'list'>; use float, int, bool or str"),
            ("a", int, "a:b", "use a frozen dataclass"),
            ("a", Fog, "a.b", "write module:name"),
            ("", Fog, "a:b", "is no name of a part"),
            ("a/b", Fog, "a:b", "is no name of a part"),
        ):
            with pytest.raises(ValueError, match=match):
                register_metric(name, settings=settings, function=function)


class TestLoading:
    @pytest.fixture
    def write(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
        """Writes my_plugin.py into the current directory."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*sys.path])
        yield lambda text: (tmp_path / "my_plugin.py").write_text(text) and None
        sys.modules.pop("my_plugin", None)

    def test_a_module_of_the_current_directory_is_imported_as_the_flag_is_parsed(self, write: Any):
        write(
            "import dataclasses\nfrom configs.settings.plugins import register_metric\n"
            "@dataclasses.dataclass(frozen=True)\nclass Own:\n    share: float = 0.5\n"
            "register_metric('mine', settings=Own, function='my_plugin:Nowhere')\n"
        )
        parser = argparse.ArgumentParser()
        add_config_arguments(parser)
        arguments = parser.parse_args(["--pipeline_config_path", "p", "--plugin", "my_plugin"])
        assert arguments.plugin == ["my_plugin"]
        settings = examined('metric { name: "mine" }').settings
        assert settings is not None
        with pytest.raises(Exception, match=r"metric 'mine': my_plugin:Nowhere cannot be imported: AttributeError"):
            settings.extensions.metric[0].function("metric")

    @pytest.mark.parametrize(
        ("text", "match"),
        [
            ("x = y\n", r"my_plugin cannot be imported: NameError: name 'y' is not defined \(.*my_plugin.py, line 1\)"),
            ("x =\n", r"my_plugin cannot be imported: SyntaxError: invalid syntax \(my_plugin.py, line 1\)"),
            ("import no_such_thing\n", r"ModuleNotFoundError: No module named 'no_such_thing' \(.*line 1\)"),
            ("raise OSError('a\\nb')\n", r"my_plugin cannot be imported: OSError: a b \(.*my_plugin.py, line 1\)"),
        ],
    )
    def test_one_that_does_not_import_is_told_in_a_line_with_the_place(self, write: Any, text: str, match: str):
        write(text)
        with pytest.raises(argparse.ArgumentTypeError, match=match) as caught:
            load_plugin("my_plugin")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["my_plugin", "", ".up", "my/plugin.py"])
    def test_one_that_is_not_there_ends_with_2(
        self, write: Any, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ):
        parser = argparse.ArgumentParser()
        add_config_arguments(parser)
        with pytest.raises(SystemExit) as caught:
            parser.parse_args(["--pipeline_config_path", "p", "--plugin", name])
        assert caught.value.code == 2
        assert "cannot be imported" in capsys.readouterr().err

    def test_one_that_imports_tensorflow_is_refused(self, write: Any, tmp_path: Path):
        (tmp_path / "tensorflow.py").write_text("")  # quicker than the real one
        write("import tensorflow\n")
        command = [sys.executable, "-m", "configs.check", "--plugin", "my_plugin", str(SSD)]
        environment = {**os.environ, "PYTHONPATH": str(SSD.parents[1])}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "my_plugin imports TensorFlow, which commands must set up first" in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_nothing_that_a_config_names_is_imported(self, write: Any):
        write("raise SystemExit('run')\n")
        (found,) = problems('metric { name: "my_plugin:Metric" }')
        assert "is no registered metric" in found
        assert "my_plugin" not in sys.modules
