"""What is folded away under "For engineers": versions, the threshold, classes, comparisons, troubles, and the JSON."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from serving.client_library.detections import ImageDetections
from serving.demonstration.amenities import Amenity
from serving.demonstration.detection_cache import TimedDetections, Version, first_threshold
from serving.demonstration.images import UploadedImage
from serving.demonstration.markdown import plain
from serving.demonstration.results import as_json_text, chosen, compare, differences, drawn, names_to_choose
from serving.demonstration.settings import Settings

TITLE = "For engineers"
CLASSES = "classes"  # the key of what is picked
NO_OTHER = "none"
PREVIEW_PIXELS = 640


@dataclass(frozen=True)
class Choice:
    """Choice of what the page shows.

    Attributes:
        versions: The one that the host sees, and perhaps one beside it.
        min_score: The threshold, 0..1.
    """

    versions: Sequence[Version]
    min_score: float


def choose(settings: Settings, versions: Sequence[Version]) -> Choice:
    """Shows what can be chosen before a question is asked, and returns the choice.

    Raises:
        UserError: The server cannot be asked.
    """
    st.caption(f"Asks model {plain(settings.model_name)} at {plain(settings.connection.server)}.")
    asked = _choose_versions(versions)
    first = _first_threshold(settings, asked[0])
    min_score = st.slider("Score threshold", 0.0, 1.0, first, 0.01, help="Weaker detections are left out.")
    if first == 0.0:
        st.caption("At 0 all counts that the model answers: it may have thresholds of its own.")
    return Choice(asked, min_score)


def choose_classes(settings: Settings, answers: Mapping[Version, Sequence[TimedDetections]]) -> list[str]:
    """Shows the classes that can be chosen, and returns those that are; none for all."""
    names = names_to_choose(settings.label_map, (answer.found for given in answers.values() for answer in given))
    return list(st.multiselect("Classes", names, placeholder="all", key=CLASSES))


def show_troubles(troubles: Sequence[str]) -> None:
    """Shows what the host was told of in other words."""
    if troubles:
        st.caption("What went wrong:")
        st.code("\n".join(troubles), language=None, wrap_lines=True)


def show_results(
    settings: Settings,
    choice: Choice,
    names: Sequence[str],
    images: Sequence[UploadedImage],
    answers: Mapping[Version, Sequence[TimedDetections]],
    amenities: Sequence[Amenity],
) -> None:
    """Shows all detections from the threshold on as a table, two versions beside each other, and the JSON's button."""
    shown = {
        version: [chosen(answer.found, choice.min_score, names) for answer in given]
        for version, given in answers.items()
    }
    if len(shown) == 2:
        _compare(shown, images)
    _show_table(shown, answers)
    st.download_button(
        "Download JSON",
        as_json_text(
            model_name=settings.model_name,
            min_score=choice.min_score,
            names=names,
            shown=shown,
            turned=[image.turned for image in images],
            amenities=amenities,
        ),
        file_name="detections.json",
        mime="application/json",
        on_click="ignore",
    )


def _choose_versions(versions: Sequence[Version]) -> list[Version]:
    if len(versions) == 1:
        st.caption(f"It has {plain(versions[0])}.")
        return [versions[0]]
    by_words = {str(version): version for version in versions}
    first = st.selectbox("Version", list(by_words), key="first")
    others = [words for words in by_words if words != first]
    second = st.selectbox("Compare with", [NO_OTHER, *others], key="second")
    return [by_words[first], *([by_words[second]] if second in by_words else [])]


def _first_threshold(settings: Settings, version: Version) -> float:
    known: dict[int, float] = _state().setdefault("first thresholds", {})
    if version.number not in known:
        known[version.number] = first_threshold(settings, version.number)
    return known[version.number]


def _compare(shown: Mapping[Version, Sequence[ImageDetections]], images: Sequence[UploadedImage]) -> None:
    (first, first_answers), (second, second_answers) = shown.items()
    for image, *found in zip(images, first_answers, second_answers, strict=True):
        if any(answer.failure is not None for answer in found):
            continue
        small = image.shown.copy()
        small.thumbnail((PREVIEW_PIXELS, PREVIEW_PIXELS))
        for place, version, answer in zip(st.columns(2), (first, second), found, strict=True):
            caption = f"{image.name}: {version}"
            place.image(drawn(small, answer.detections), plain(caption), width="stretch", alt=caption)
        st.markdown(differences(compare(*found), first, second))


def _show_table(
    shown: Mapping[Version, Sequence[ImageDetections]], answers: Mapping[Version, Sequence[TimedDetections]]
) -> None:
    rows = [
        {
            "image": found.image,
            "size": f"{found.width} x {found.height}",
            "version": str(version),
            "seconds": round(answer.seconds, 2),
            "name": detection.name,
            "score": round(detection.score, 3),
            **{side: round(value) for side, value in detection.box_pixels._asdict().items()},
        }
        for version, detections in shown.items()
        for found, answer in zip(detections, answers[version], strict=True)
        for detection in found.detections
    ]
    count = len(rows)
    st.caption(f"{count} {'detection' if count == 1 else 'detections'} from the threshold on, boxes in pixels:")
    st.dataframe(rows, hide_index=True)


def _state() -> MutableMapping[Any, Any]:
    """Returns what this open page remembers from run to run."""
    return st.session_state
