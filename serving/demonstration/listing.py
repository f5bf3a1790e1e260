"""The list of amenities, which a host corrects: ticks, numbers, and what was missed."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import streamlit as st

from serving.demonstration.amenities import Amenity, Corrections, listing_text
from serving.demonstration.host_words import number_of
from serving.demonstration.markdown import plain

MOST = 99  # of one amenity


def show_listing(found: Sequence[Amenity], num_photos: int, names: Sequence[str]) -> list[Amenity]:
    """Shows what was found, to be corrected; returns the amenities as the host has them.

    Args:
        found: What the photos show.
        num_photos: How many there are.
        names: What can be added.
    """
    corrections: Corrections = _state().setdefault("corrections", Corrections())
    with st.container(border=True, key="listing"):
        st.header("Amenities we found", anchor=False)
        if not found:
            st.markdown(f"We found none that we know in {number_of(num_photos, 'photo')}.")
        else:
            st.markdown(
                f"Seen in {number_of(num_photos, 'photo')}. Untick what is wrong. The number is the most that one "
                "photo shows, so that a bed in two photos counts once; if other rooms have more, correct it."
            )
        amenities = corrections.applied_to(found)
        for amenity in amenities:
            if amenity.sure:
                _show_amenity(amenity, corrections)
        if any(not amenity.sure for amenity in amenities):
            st.markdown("**Perhaps also**")
            st.markdown("We are not sure of these. Tick what is there.")
        for amenity in amenities:
            if not amenity.sure:
                _show_amenity(amenity, corrections)
        _ask_what_was_missed([name for name in names if name not in {amenity.name for amenity in found}], corrections)
        text = listing_text(amenities)
        st.markdown("**Your list**")
        st.code(text or "(empty)", language=None, wrap_lines=True)
        st.download_button(
            "Download the list",
            text + "\n",
            file_name="amenities.txt",
            mime="text/plain",
            on_click="ignore",
            width="stretch",
            type="primary",
        )
    return amenities


def _show_amenity(amenity: Amenity, corrections: Corrections) -> None:
    """Shows a row: the tick, where it was seen, and how many there are."""
    tick, number = f"listed {amenity.name}", f"count {amenity.name}"
    # What was found changes with the photos; what the host said does not. Both are what the widgets show from here on.
    _state()[tick], _state()[number] = amenity.listed, min(amenity.count, MOST)
    seen = f"in {number_of(amenity.num_images, 'photo')}" if amenity.num_images else "added by you"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.checkbox(
            plain(amenity.name),
            key=tick,
            on_change=lambda: corrections.listed.update({amenity.name: _state()[tick]}),
        )
        st.markdown(f":small[:gray[{seen}]]", width="stretch")
        st.number_input(
            f"How many: {plain(amenity.name)}",
            1,
            MOST,
            step=1,
            key=number,
            width=130,  # narrower ones have no buttons
            disabled=not amenity.listed,
            label_visibility="collapsed",
            on_change=lambda: corrections.counts.update({amenity.name: _state()[number]}),
        )


def _ask_what_was_missed(names: Sequence[str], corrections: Corrections) -> None:
    key = "missed"
    added = [name for name in corrections.added if name not in names]
    _state()[key] = corrections.added
    st.multiselect(
        "Did we miss something?",
        [*names, *added],
        key=key,
        placeholder="Choose or type it",
        accept_new_options=True,
        on_change=lambda: setattr(corrections, "added", list(_state()[key])),
    )


def _state() -> MutableMapping[Any, Any]:
    """Returns what this open page remembers from run to run."""
    return st.session_state
