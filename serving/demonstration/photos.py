"""Photos that a host adds to the page, as files or with the camera; in plain words, why one cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import streamlit as st

from data_prep.images.image_file import ImageError
from serving.demonstration.host_words import photo_trouble
from serving.demonstration.images import UploadedImage, digest_of, read_upload
from serving.demonstration.markdown import plain
from serving.demonstration.settings import Settings

SUFFIXES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]


def take_photos(settings: Settings, troubles: list[str]) -> list[UploadedImage]:
    """Shows where photos are added, and returns those that can be used.

    Args:
        settings: How many are taken.
        troubles: Gets why others cannot be, in an engineer's words.
    """
    # On a phone Streamlit only marks a file that is larger: the limit has to be read before.
    label = f"Photos of one place, each up to {st.get_option('server.maxUploadSize')} MB"
    uploaded = st.file_uploader(label, type=SUFFIXES, accept_multiple_files=True)
    files = [(file.name, file.getvalue()) for file in uploaded]
    taken = _taken_by_camera()
    if st.toggle("Take photos here, with the camera"):  # the browser asks for it as soon as the widget is there
        photo = st.camera_input("Take a photo of a room")
        if photo is not None:
            taken.setdefault(digest_of(photo.getvalue()), photo.getvalue())
    files += [(f"Camera {number}", content) for number, content in enumerate(taken.values(), start=1)]
    if len(files) > settings.max_images:
        st.warning(
            f"We take {settings.max_images} photos at once: here are the first {settings.max_images} of "
            f"{len(files)}. Remove some to see others."
        )
        files = files[: settings.max_images]
    before: Mapping[str, UploadedImage] = _state().get("photos", {})
    images: dict[str, UploadedImage] = {}
    for name, content in files:
        digest = digest_of(content)
        if digest in images:
            continue
        try:
            images[digest] = replace(before[digest], name=name) if digest in before else read_upload(name, content)
        except ImageError as error:
            st.error(plain(photo_trouble(name, error.reason)))
            troubles.append(f"{name}: {error}")
    _state()["photos"] = images
    return list(images.values())


def show_removal(image: UploadedImage) -> None:
    """Shows a button that removes a photo of the camera; files have theirs where they were added."""
    taken = _taken_by_camera()
    if image.digest in taken:
        st.button(f"Remove {image.name}", key=f"remove {image.digest}", on_click=taken.pop, args=(image.digest, None))


def _taken_by_camera() -> dict[str, bytes]:
    photos: dict[str, bytes] = _state().setdefault("camera", {})
    return photos


def _state() -> MutableMapping[Any, Any]:
    """Returns what this open page remembers from run to run."""
    return st.session_state
