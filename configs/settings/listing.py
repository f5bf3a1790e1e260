"""A listing of the messages that settings read, and where in a config each stands."""

from __future__ import annotations

from collections.abc import Iterator

from configs.settings.declaration import Choice, Mapped, Nested, Settings, fields_of


def below(settings: type[Settings]) -> Iterator[tuple[tuple[str, ...], type[Settings]]]:
    """Yields the messages that a message holds: the fields that lead there (two through a oneof), and the settings."""
    for name, spec in fields_of(settings).items():
        if isinstance(spec, Nested):
            yield (name,), spec.settings
        elif isinstance(spec, Choice):
            for alternative, chosen in spec.alternatives.items():
                yield ((alternative,) if spec.inline else (name, alternative)), chosen
        elif isinstance(spec, Mapped) and isinstance(spec.values, type):
            yield (name,), spec.values


def places_of(root: type[Settings]) -> dict[type[Settings], tuple[tuple[str, ...], ...]]:
    """Lists the messages that can be reached from one.

    Args:
        root: Settings of that one.

    Returns:
        For each settings class, the root's first and each before those that it holds, the fields that lead there from
        the root: one tuple a way.
    """
    places: dict[type[Settings], list[tuple[str, ...]]] = {}

    def visit(settings: type[Settings], path: tuple[str, ...]) -> None:
        places.setdefault(settings, []).append(path)
        for names, found in below(settings):
            visit(found, (*path, *names))

    visit(root, ())
    return {settings: tuple(paths) for settings, paths in places.items()}
