"""Streamlit page over the other files of this package; Streamlit runs it from the top at every click.

It is read by people who list their home: the list first, in their words. What engineers want is folded away below.
"""

from __future__ import annotations

import io
import time
from collections.abc import MutableMapping, Sequence
from typing import Any

import streamlit as st

from data_prep.runtime.command_line import UserError
from serving.client_library.detections import Detection
from serving.demonstration import engineers
from serving.demonstration.amenities import Amenity, find_amenities, marks
from serving.demonstration.detection_cache import DetectionCache, TimedDetections, Version, find_versions
from serving.demonstration.host_words import NOT_NOW, NOT_SET_UP, photo_trouble
from serving.demonstration.images import UploadedImage
from serving.demonstration.listing import show_listing
from serving.demonstration.markdown import plain
from serving.demonstration.photos import show_removal, take_photos
from serving.demonstration.results import drawn, names_to_choose
from serving.demonstration.settings import Settings

VERSIONS_SECONDS = 5.0  # as long as it is not asked again which versions there are
JPEG_QUALITY = 88
PAGE_TITLE = "What does your place offer?"
STYLE = """<style>
[data-testid=stMainBlockContainer] {padding-top: 2.5rem; padding-bottom: 2rem; max-width: 76rem}
h1 {font-size: clamp(1.9rem, 6vw, 2.6rem) !important}
h2 {font-size: 1.6rem !important}
/* Streamlit's own grey of captions has too little contrast (WCAG 2.1 asks for 4.5:1). */
[data-testid=stImageCaption] *, [data-testid=stCaptionContainer] * {color: inherit !important}
[data-testid=stImageCaption], [data-testid=stCaptionContainer] {color: inherit !important; opacity: .85}
</style>"""


def show_page(settings: Settings) -> None:
    """Shows the page, in the run of a Streamlit script."""
    st.set_page_config(page_title=PAGE_TITLE, page_icon="🏠", layout="wide")
    st.html(STYLE)
    st.title(PAGE_TITLE, anchor=False)
    st.markdown("Add photos of your rooms. We list the amenities that we see, and you correct the list.")
    troubles: list[str] = []
    images = take_photos(settings, troubles)
    host, fold = st.container(), st.expander(engineers.TITLE, key="engineers")
    try:
        versions = _versions(settings)
        with fold:
            choice = engineers.choose(settings, versions)
        if images:
            _show_results(settings, choice, images, troubles, host, fold)
    except UserError as error:
        troubles.append(str(error))
        with host:
            st.error(NOT_NOW)
            st.button("Try again")
    with fold:
        engineers.show_troubles(troubles)


def show_mistake(error: UserError) -> None:
    """Shows what is wrong with the command line, in place of the page."""
    st.set_page_config(page_title=PAGE_TITLE, page_icon="🏠")
    st.title(PAGE_TITLE, anchor=False)
    st.error(NOT_SET_UP)
    with st.expander(engineers.TITLE):
        engineers.show_troubles([str(error)])


def _versions(settings: Settings) -> list[Version]:
    known = _state().get("versions")
    if known is None or time.monotonic() - known[0] > VERSIONS_SECONDS:
        _state().pop("versions", None)
        known = time.monotonic(), find_versions(settings)
        _state()["versions"] = known
    return known[1]


def _show_results(
    settings: Settings,
    choice: engineers.Choice,
    images: Sequence[UploadedImage],
    troubles: list[str],
    host: Any,
    fold: Any,
) -> None:
    """Shows the list, and beside it the photos (on a phone, which has no room beside: below it)."""
    with host:
        answers = {version: _detect(settings, version, images) for version in choice.versions}
        narrow, wide = st.columns([2, 3], gap="large")
    with fold:
        names = engineers.choose_classes(settings, answers)
    given = answers[choice.versions[0]]
    all_names = names_to_choose(settings.label_map, [answer.found for answer in given])
    with narrow:
        amenities = show_listing(
            find_amenities((answer.found for answer in given), choice.min_score, names), len(images), all_names
        )
    with wide:
        _show_photos(images, given, amenities, choice.min_score, troubles)
    with fold:
        engineers.show_results(settings, choice, names, images, answers, amenities)


def _detect(settings: Settings, version: Version, images: Sequence[UploadedImage]) -> list[TimedDetections]:
    cache: DetectionCache = _state().setdefault("answers", DetectionCache())
    cache.drop_all_but(images)
    place = st.empty()
    try:
        return cache.detect(
            settings,
            version.number,
            images,
            lambda done, of: place.progress(done / of, f"Looking at photo {done + 1} of {of} ..."),
        )
    except UserError:
        _state().pop("versions", None)  # perhaps there are others by now
        raise
    finally:
        place.empty()


def _show_photos(
    images: Sequence[UploadedImage],
    given: Sequence[TimedDetections],
    amenities: Sequence[Amenity],
    min_score: float,
    troubles: list[str],
) -> None:
    before: dict[Any, bytes] = _state().get("drawn", {})
    kept: dict[Any, bytes] = {}  # a tick draws anew only the photos in which it changes something
    beside = min(len(images), 2)
    columns: Sequence[Any] = []
    for position, (image, answer) in enumerate(zip(images, given, strict=True)):
        if position % beside == 0:  # a row of its own, so that a phone has them in their order
            columns = st.columns(beside)
        with columns[position % beside]:
            failure = answer.found.failure
            if failure is not None:
                st.error(plain(photo_trouble(image.name, failure.reason)))
                st.button("Try again", key=f"again {image.digest}")
                troubles.append(f"{image.name}: {failure}")
                continue
            marked = tuple(marks(answer.found, amenities, min_score))
            key = image.digest, marked
            kept[key] = before.get(key) or _drawn_jpeg(image, marked)
            words = ", ".join(dict.fromkeys(word for _, word in marked)) or "nothing on your list"
            caption = f"{image.name}: {words}"
            st.image(kept[key], plain(caption), width="stretch", alt=caption)
            show_removal(image)
    _state()["drawn"] = kept


def _drawn_jpeg(image: UploadedImage, marked: Sequence[tuple[Detection, str]]) -> bytes:
    encoded = io.BytesIO()
    boxes, words = [detection for detection, _ in marked], [word for _, word in marked]
    drawn(image.shown, boxes, words).save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()


def _state() -> MutableMapping[Any, Any]:
    """Returns what this open page remembers from run to run."""
    return st.session_state
