"""That every field of a pipeline config is described once, and that no value of any field ends in a traceback."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from configs.check import describe_verdict
from configs.schema.descriptors import is_repeated, message_descriptor
from configs.settings.declaration import SETTINGS_BY_MESSAGE, Choice, Mapped, Nested, Settings, fields_of
from configs.settings.documentation import places_of
from configs.settings.loading import examine
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import plain_value
from configs.settings.values import Items, Scalar, Spec
from tests.configs.bad_values import Trial, trials


def type_of(descriptor: Any) -> str:
    return descriptor.full_name.removeprefix("object_detection.protos.")


def declared_fields(settings: type[Settings]) -> list[str]:
    """The names of the fields that settings read, refuse or tell to be without effect; one said twice comes twice."""
    names = [*settings.refused, *settings.no_effect]
    for name, spec in fields_of(settings).items():
        is_inline = isinstance(spec, Choice) and spec.inline
        names += [*spec.alternatives, *spec.refused] if is_inline else [name]
    return names


def check_spec(settings: type[Settings], name: str, spec: Spec) -> None:
    """Checks that a spec is of its field's kind, and that all of a oneof's alternatives are in it."""
    where = f"{settings.message_name}.{name}"
    descriptor = message_descriptor(settings.message_name)
    if isinstance(spec, Choice) and spec.inline:
        oneof = descriptor.oneofs_by_name[name].fields
    else:
        field = descriptor.fields_by_name[name]
        is_message = field.message_type is not None
        assert is_message == isinstance(spec, Nested | Choice | Mapped), where
        if isinstance(spec, Nested):
            assert spec.settings.message_name == type_of(field.message_type), where
        elif isinstance(spec, Mapped) and spec.settings is not None:
            value = field.message_type.fields_by_name["value"].message_type
            assert spec.settings.message_name == type_of(value), where
        elif isinstance(spec, Scalar):
            default = plain_value(field, field.default_value)
            assert all(type(value) is type(default) for value in spec.only), where
        else:
            assert (isinstance(spec, Items) and is_repeated(field)) or isinstance(spec, Choice | Mapped), where
        oneof = field.message_type.fields if isinstance(spec, Choice) else []
    if isinstance(spec, Choice):
        assert Counter([*spec.alternatives, *spec.refused]) == Counter(one.name for one in oneof), where
        for one in oneof:
            if one.name in spec.alternatives:
                assert spec.alternatives[one.name].message_name == type_of(one.message_type), where


@pytest.mark.parametrize("settings", SETTINGS_BY_MESSAGE.values(), ids=list(SETTINGS_BY_MESSAGE))
def test_every_field_of_a_message_is_read_or_refused_or_told_to_have_no_effect(settings: type[Settings]) -> None:
    fields = Counter(field.name for field in message_descriptor(settings.message_name).fields)
    assert Counter(declared_fields(settings)) == fields
    for name, spec in fields_of(settings).items():
        check_spec(settings, name, spec)


def test_every_settings_class_is_of_a_message_that_a_config_can_hold() -> None:
    assert {settings.message_name for settings in places_of(PipelineSettings)} == set(SETTINGS_BY_MESSAGE)


def test_no_value_ends_in_a_traceback_and_none_that_is_not_finite_is_taken() -> None:
    counts: Counter[str] = Counter()
    fields = set()
    for trial in trials():
        loaded = examine(trial.config, "p")
        describe_verdict(loaded)
        counts["values"] += 1
        counts["refused"] += bool(loaded.problems)
        fields.add((trial.settings, trial.field.name))
        assert bool(loaded.problems) == (loaded.settings is None), trial.path
        if trial.is_not_finite:
            assert is_refused(trial, [problem.path for problem in loaded.problems]), f"{trial.path}: {trial.value}"
    messages = len({settings for settings, _ in fields})
    print(f"{counts['values']} values in {len(fields)} fields of {messages} messages, {counts['refused']} refused")
    assert counts["values"] > 300


def is_refused(trial: Trial, paths: list[str]) -> bool:
    """Whether a problem names the field, or an element of it."""
    return any(path == trial.path or path.startswith(f"{trial.path}[") for path in paths)
