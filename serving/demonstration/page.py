"""Streamlit page over the other files of this package; Streamlit runs it from the top at every click."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from data_prep.images.image_file import ImageError
from data_prep.runtime.command_line import UserError
from serving.client_library.detections import ImageDetections
from serving.demonstration.detection_cache import (
    DetectionCache,
    TimedDetections,
    Version,
    find_versions,
    first_threshold,
)
from serving.demonstration.images import UploadedImage, digest_of, read_upload
from serving.demonstration.results import (
    Amenity,
    as_json_text,
    chosen,
    compare,
    differences,
    drawn,
    list_amenities,
    names_to_choose,
    plain,
    sentence,
)
from serving.demonstration.settings import Settings

VERSIONS_SECONDS = 5.0  # as long as it is not asked again which versions there are
SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]
FILES, CAMERA = "Files", "Camera"
NO_OTHER = "none"


def show_page(settings: Settings) -> None:
    """Shows the page, in the run of a Streamlit script."""
    st.set_page_config(page_title=f"{settings.model_name}: what is in the picture?", page_icon="🔍", layout="wide")
    st.html("<style>[data-testid=stMainBlockContainer]{padding-top:2.5rem;padding-bottom:2rem}</style>")
    st.header("What is in the picture?", anchor=False)
    st.caption(f"Asks model {plain(settings.model_name)} at {plain(settings.connection.server)}.")
    images = _uploads(settings)
    try:
        versions = _versions(settings)
        if not images:
            st.info("Add a picture to see what the model finds in it.")
            return
        _results(settings, versions, images)
    except UserError as error:
        st.error(sentence(error))
        st.button("Try again")


def show_mistake(error: UserError) -> None:
    """Shows what is wrong with the command line, in place of the page."""
    st.set_page_config(page_title="What is in the picture?")
    st.error(sentence(error))


def _uploads(settings: Settings) -> list[UploadedImage]:
    """Takes the images; of one that cannot be used, says why."""
    source = st.segmented_control("Pictures from", [FILES, CAMERA], default=FILES, label_visibility="collapsed")
    files: list[Any]
    if source == CAMERA:  # the browser asks for the camera as soon as the widget is there
        photograph = st.camera_input("Take a picture of a room")
        files = [photograph] if photograph is not None else []
    else:
        files = st.file_uploader("Pictures of one place", type=SUFFIXES, accept_multiple_files=True)
    if len(files) > settings.max_images:
        st.warning(
            f"The first {settings.max_images} of {len(files)} pictures are shown; the page takes no more at once."
        )
        files = files[: settings.max_images]
    before: Mapping[str, UploadedImage] = _state().get("pictures", {})
    images: dict[str, UploadedImage] = {}
    for file in files:
        content = file.getvalue()
        digest = digest_of(content)
        name = "camera" if source == CAMERA else file.name
        if digest in images:
            continue
        try:
            images[digest] = replace(before[digest], name=name) if digest in before else read_upload(name, content)
        except ImageError as error:
            st.error(sentence(f"the picture {name} cannot be used: {error}"))
    _state()["pictures"] = images
    return list(images.values())


def _versions(settings: Settings) -> list[Version]:
    known = _state().get("versions")
    if known is None or time.monotonic() - known[0] > VERSIONS_SECONDS:
        _state().pop("versions", None)
        known = time.monotonic(), find_versions(settings)
        _state()["versions"] = known
    return known[1]


def _results(settings: Settings, versions: Sequence[Version], images: Sequence[UploadedImage]) -> None:
    """Shows the images with what was found, and beside them (on a phone: below) what can be chosen."""
    wide, narrow = st.columns([2, 1], gap="large")
    with narrow:
        threshold_place, classes_place = st.empty(), st.empty()
        asked = _choose_versions(versions)
        min_score = threshold_place.slider(
            "Threshold", 0.0, 1.0, _first_threshold(settings, asked[0]), 0.01, help="Weaker detections are left out."
        )
    answers = {version: _detect(settings, version, images) for version in asked}
    names = classes_place.multiselect(
        "Classes",
        names_to_choose(settings.label_map, (answer.found for given in answers.values() for answer in given)),
        placeholder="all",
        key="classes",
    )
    shown = {
        version: [chosen(answer.found, min_score, names) for answer in given] for version, given in answers.items()
    }
    with wide:
        for position, image in enumerate(images):
            _show_image(
                image,
                {version: found[position] for version, found in shown.items()},
                [given[position].seconds for given in answers.values()],
            )
    with narrow:
        amenities = list_amenities((answer.found for answer in answers[asked[0]]), min_score, names)
        confirmed = _show_listing(amenities)
        st.download_button(
            "Download JSON",
            as_json_text(
                model_name=settings.model_name,
                min_score=min_score,
                names=names,
                shown=shown,
                turned=[image.turned for image in images],
                amenities=amenities,
                confirmed=confirmed,
            ),
            file_name="detections.json",
            mime="application/json",
            on_click="ignore",
            width="stretch",
        )
    with wide:
        _show_table(shown)


def _first_threshold(settings: Settings, version: Version) -> float:
    known: dict[int, float] = _state().setdefault("first thresholds", {})
    if version.number not in known:
        known[version.number] = first_threshold(settings, version.number)
    return known[version.number]


def _choose_versions(versions: Sequence[Version]) -> list[Version]:
    """Returns the version to show, and perhaps one beside it."""
    if len(versions) == 1:
        return [versions[0]]
    by_words = {str(version): version for version in versions}
    first = st.selectbox("Version", list(by_words), key="first")
    others = [words for words in by_words if words != first]
    second = st.selectbox("Compare with", [NO_OTHER, *others], key="second")
    return [by_words[first], *([by_words[second]] if second in by_words else [])]


def _detect(settings: Settings, version: Version, images: Sequence[UploadedImage]) -> list[TimedDetections]:
    cache: DetectionCache = _state().setdefault("answers", DetectionCache())
    cache.drop_all_but(images)
    try:
        with st.spinner("Asking the server ..."):
            return cache.detect(settings, version.number, images)
    except UserError:
        _state().pop("versions", None)  # perhaps there are others by now
        raise


def _show_image(image: UploadedImage, shown: Mapping[Version, ImageDetections], seconds: Sequence[float]) -> None:
    turned = ", turned upright" if image.turned else ""
    st.caption(f"{plain(image.name)}: {image.width} x {image.height} pixels{turned}")
    for place, (version, found), taken in zip(st.columns(len(shown)), shown.items(), seconds, strict=True):
        with place:
            if found.failure is not None:
                st.error(sentence(f"the picture {image.name} has no answer: {found.failure}"))
                continue
            st.image(drawn(image.shown, found), width="stretch")
            count = len(found.detections)
            st.caption(f"{plain(version)}: {count} {'box' if count == 1 else 'boxes'}, answered in {taken:.2f} s")
    if len(shown) == 2:
        (first, first_found), (second, second_found) = shown.items()
        if first_found.failure is None and second_found.failure is None:
            st.markdown(differences(compare(first_found, second_found), first, second))


def _show_listing(amenities: Sequence[Amenity]) -> list[str]:
    """Shows the amenities as a listing does; returns the names of those that are ticked."""
    with st.container(border=True):
        st.subheader("What this place offers", anchor=False)
        if not amenities:
            st.markdown("Nothing was found.")
        sure = [amenity for amenity in amenities if amenity.sure]
        unsure = [amenity for amenity in amenities if not amenity.sure]
        confirmed = [amenity for amenity in sure if _tick(amenity)]
        if unsure:
            st.caption("Perhaps also; tick what is there:")
            confirmed += [amenity for amenity in unsure if _tick(amenity)]
        if amenities:
            line = " · ".join(plain(amenity) for amenity in confirmed) or "none"
            st.markdown(f"**In the listing:** {line}")
    return [amenity.name for amenity in confirmed]


def _tick(amenity: Amenity) -> bool:
    # An amenity that becomes sure as the threshold moves is another widget, ticked anew.
    key = f"amenity {amenity.name} {amenity.sure}"
    label = f"{plain(amenity)} :gray[{100 * amenity.score:.0f}%]"
    return bool(st.checkbox(label, value=amenity.sure, key=key))


def _show_table(shown: Mapping[Version, Sequence[ImageDetections]]) -> None:
    rows = [
        {
            "picture": found.image,
            "version": str(version),
            "name": detection.name,
            "score": round(detection.score, 3),
            **{side: round(value) for side, value in detection.box_pixels._asdict().items()},
        }
        for version, answers in shown.items()
        for found in answers
        for detection in found.detections
    ]
    with st.expander(f"All {len(rows)} detections, boxes in pixels"):
        st.dataframe(rows, hide_index=True)


def _state() -> MutableMapping[Any, Any]:
    """Returns what this open page remembers from run to run."""
    return st.session_state
