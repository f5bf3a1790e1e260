"""Matchers, against hand-computed cases and a slow version of each."""

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.matching import MATCHERS
from configs.settings.reading import read_choice
from train.models.matchers import IGNORED, UNMATCHED, ArgmaxMatcher, BipartiteMatcher, build_matcher

SIMILARITY = tf.constant([[[0.2, 0.3, 0.5, 0.7, 0.9], [0.1, 0.2, 0.35, 0.75, 0.1]]])


def matcher_of(text):
    message = parse_pipeline_config(f"model {{ ssd {{ matcher {{ {text} }} }} }}").model.ssd.matcher
    return build_matcher(read_choice(MATCHERS, message, "matcher"))


def match(valid=(True, True), **changes):
    arguments = {"matched_threshold": 0.7, "unmatched_threshold": 0.3, **changes}
    return ArgmaxMatcher(**arguments).match(SIMILARITY, tf.constant([valid])).numpy()[0].tolist()


def test_thresholds_divide_into_unmatched_ignored_and_matched():
    assert match() == [UNMATCHED, IGNORED, IGNORED, 1, 0]


def test_negatives_above_the_lower_threshold_swaps_the_two_kinds():
    assert match(negatives_lower_than_unmatched=False) == [IGNORED, UNMATCHED, UNMATCHED, 1, 0]


def test_every_ground_truth_is_sure_of_an_anchor_when_forced():
    assert match(matched_threshold=0.95, unmatched_threshold=0.95) == [UNMATCHED] * 5
    forced = match(matched_threshold=0.95, unmatched_threshold=0.95, force_match_for_each_row=True)
    assert forced == [UNMATCHED, UNMATCHED, UNMATCHED, 1, 0]


def test_the_first_of_two_ground_truths_gets_an_anchor_that_both_want():
    similarity = tf.constant([[[0.1, 0.4], [0.1, 0.45]]])
    matcher = ArgmaxMatcher(0.5, 0.5, force_match_for_each_row=True)
    assert matcher.match(similarity, tf.constant([[True, True]])).numpy().tolist() == [[UNMATCHED, 0]]


def test_padding_matches_nothing_and_an_empty_image_is_all_background():
    assert match(valid=(True, False)) == [UNMATCHED, IGNORED, IGNORED, 0, 0]
    assert match(valid=(False, False), force_match_for_each_row=True) == [UNMATCHED] * 5
    assert match(valid=(False, False), matched_threshold=None, unmatched_threshold=None) == [UNMATCHED] * 5


def test_without_thresholds_every_anchor_matches():
    matcher = matcher_of("argmax_matcher { ignore_thresholds: true }")
    assert matcher.match(SIMILARITY, tf.constant([[True, True]])).numpy().tolist() == [[0, 0, 0, 1, 0]]


def test_padding_is_less_alike_than_the_farthest_box():
    far = tf.constant([[[-5.0, -3.0], [0.0, 0.0]]])
    matcher = ArgmaxMatcher(-4.0, -4.0)
    assert matcher.match(far, tf.constant([[True, False]])).numpy().tolist() == [[UNMATCHED, 0]]


def test_ground_truth_without_weight_takes_anchors_but_is_sure_of_none():
    similarity = tf.constant([[[0.6, 0.1, 0.4], [0.1, 0.2, 0.1]]])
    matcher = ArgmaxMatcher(0.5, 0.5, force_match_for_each_row=True)
    valid = tf.constant([[True, True]])
    assert matcher.match(similarity, valid).numpy().tolist() == [[0, 1, UNMATCHED]]
    weightless = matcher.match(similarity, valid, tf.constant([[True, False]]))
    assert weightless.numpy().tolist() == [[0, UNMATCHED, UNMATCHED]]


def slow_argmax(similarity, rows, matched, unmatched, lower, force, weighty):
    """One image: similarity [M, A]; rows and weighty are the rows that exist, and that are sure of an anchor."""
    matches = []
    for anchor in range(similarity.shape[1]):
        if not rows:
            matches.append(UNMATCHED)
            continue
        best = max(rows, key=lambda row: similarity[row, anchor])
        value = similarity[best, anchor]
        if value >= matched:
            matches.append(best)
        elif value >= unmatched:
            matches.append(IGNORED if lower else UNMATCHED)
        else:
            matches.append(UNMATCHED if lower else IGNORED)
    if force:
        for row in reversed(weighty):
            matches[int(np.argmax(similarity[row]))] = row
    return matches


def slow_bipartite(similarity, rows):
    free_rows, free_anchors, matches = set(rows), set(range(similarity.shape[1])), [UNMATCHED] * similarity.shape[1]
    while free_rows and free_anchors:
        row, anchor = max(
            ((row, anchor) for row in sorted(free_rows) for anchor in sorted(free_anchors)),
            key=lambda pair: similarity[pair],
        )
        matches[anchor] = row
        free_rows.remove(row)
        free_anchors.remove(anchor)
    return matches


def random_batch(seed, num_images=6, num_rows=7, num_anchors=12):
    random = np.random.default_rng(seed)
    # Few distinct values, so that ties occur.
    similarity = random.integers(0, 20, (num_images, num_rows, num_anchors)).astype(np.float32) / 20
    counts = random.integers(0, num_rows + 1, num_images)
    counts[0] = 0
    valid = np.arange(num_rows) < counts[:, np.newaxis]
    return similarity, valid, valid & (random.uniform(size=valid.shape) < 0.7)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("lower", [False, True])
def test_the_argmax_matcher_equals_the_slow_one(lower, force):
    similarity, valid, weighty = random_batch(seed=int(lower) + 2 * int(force))
    matcher = ArgmaxMatcher(0.8, 0.6, lower, force)
    found = matcher.match(tf.constant(similarity), tf.constant(valid), tf.constant(weighty)).numpy()
    for row in range(len(similarity)):
        rows, sure = np.flatnonzero(valid[row]).tolist(), np.flatnonzero(weighty[row]).tolist()
        assert found[row].tolist() == slow_argmax(similarity[row], rows, 0.8, 0.6, lower, force, sure)


def test_the_bipartite_matcher_equals_the_slow_one():
    similarity, valid, weighty = random_batch(seed=5)
    matcher = tf.function(BipartiteMatcher().match)
    found = matcher(-tf.constant(similarity), tf.constant(valid), tf.constant(weighty)).numpy()
    for row in range(len(similarity)):
        assert found[row].tolist() == slow_bipartite(-similarity[row], np.flatnonzero(weighty[row]).tolist())


def test_the_bipartite_matcher_gives_each_ground_truth_one_anchor():
    matcher = matcher_of("bipartite_matcher {}")
    similarity = tf.constant([[[0.9, 0.8, 0.1], [0.85, 0.2, 0.1]]])
    # The first pair is 0.9; the second ground truth then gets the best of what is left.
    assert matcher.match(similarity, tf.constant([[True, True]])).numpy().tolist() == [[0, 1, UNMATCHED]]


def test_more_ground_truth_than_anchors_leaves_some_without():
    matcher = BipartiteMatcher()
    similarity = tf.constant([[[0.1], [0.3], [0.2]]])
    assert matcher.match(similarity, tf.constant([[True] * 3])).numpy().tolist() == [[1]]


@pytest.mark.parametrize("matcher", [ArgmaxMatcher(0.5, 0.4, force_match_for_each_row=True), BipartiteMatcher()])
def test_a_batch_equals_its_images_and_padding_changes_nothing(matcher):
    random = np.random.default_rng(3)
    similarity = random.uniform(size=(2, 4, 9)).astype(np.float32)  # no ties
    valid = np.array([[True] * 4, [True, True, False, False]])
    together = matcher.match(tf.constant(similarity), tf.constant(valid)).numpy()
    alone = [
        matcher.match(tf.constant(similarity[i : i + 1, : 4 - 2 * i]), tf.constant([[True] * (4 - 2 * i)]))
        for i in (0, 1)
    ]
    assert together.tolist() == [found.numpy()[0].tolist() for found in alone]


@pytest.mark.parametrize("matcher", [ArgmaxMatcher(0.5, 0.4, force_match_for_each_row=True), BipartiteMatcher()])
def test_the_order_of_ground_truth_changes_only_its_numbers(matcher):
    random = np.random.default_rng(4)
    anchors = random.permutation(9)[:4]
    similarity = random.uniform(0, 0.9, (4, 9)).astype(np.float32)
    similarity[np.arange(4), anchors] = 0.95 + np.arange(4) / 100  # each wants an anchor of its own
    order = np.array([2, 0, 3, 1])
    valid = tf.constant([[True] * 4])
    found = matcher.match(tf.constant(similarity[np.newaxis]), valid).numpy()[0]
    permuted = matcher.match(tf.constant(similarity[order][np.newaxis]), valid).numpy()[0]
    assert [m if m < 0 else order[m] for m in permuted] == found.tolist()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^matcher: is not set"),
        (
            "argmax_matcher { matched_threshold: 0.3 unmatched_threshold: 0.4 }",
            r"^matcher\.argmax_matcher\.unmatched_threshold: 0\.4 is above matched_threshold",
        ),
        (
            "argmax_matcher { negatives_lower_than_unmatched: false }",
            r"^matcher\.argmax_matcher\.negatives_lower_than_unmatched: .* thresholds that are equal",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        matcher_of(text)
