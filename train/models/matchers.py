"""Matchers: which ground truth, if any, each anchor is trained towards. Batched, padded, and without loops over images.

Meanings are those of the API's matchers/ and builders/matcher_builder.py.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import matching

UNMATCHED = -1
IGNORED = -2

# What padding is as similar as; below every similarity, negative distances too.
_NOTHING_LIKE = float("-inf")


@dataclasses.dataclass(frozen=True)
class ArgmaxMatcher:
    """Matches each anchor with its most similar ground truth, by thresholds.

    Similarity s of an anchor with its best ground truth, with matched_threshold 0.7 and unmatched_threshold 0.3:

        s        0.2        0.3        0.5        0.7        0.9
        match    UNMATCHED  IGNORED    IGNORED    its row    its row

    With `negatives_lower_than_unmatched` false, UNMATCHED and IGNORED change places. With `force_match_for_each_row`,
    every ground truth also takes the anchor most similar to it, whatever the threshold; of several ground truths that
    want the same anchor, the first has it.

    Attributes:
        matched_threshold: None matches every anchor.
        unmatched_threshold: Equal to `matched_threshold` when nothing is to be ignored.
        negatives_lower_than_unmatched: Which of the two unmatched kinds is background.
        force_match_for_each_row: Whether each ground truth is sure of one anchor.
    """

    matched_threshold: float | None
    unmatched_threshold: float | None
    negatives_lower_than_unmatched: bool = True
    force_match_for_each_row: bool = False

    @classmethod
    def from_settings(cls, settings: matching.ArgMaxMatcher) -> ArgmaxMatcher:
        """Makes the matcher of settings."""
        uses_thresholds = not settings.ignore_thresholds
        return cls(
            matched_threshold=settings.matched_threshold if uses_thresholds else None,
            unmatched_threshold=settings.unmatched_threshold if uses_thresholds else None,
            negatives_lower_than_unmatched=settings.negatives_lower_than_unmatched,
            force_match_for_each_row=settings.force_match_for_each_row,
        )

    def match(self, similarity: tf.Tensor, valid: tf.Tensor, weighty: tf.Tensor | None = None) -> tf.Tensor:
        """Matches anchors with ground truth.

        Args:
            similarity: float32 [B, M, A] of M ground truths, padding included, with A anchors.
            valid: bool [B, M], false for padding, which matches nothing.
            weighty: bool [B, M], false for ground truth that weighs nothing: it takes anchors by the thresholds, but is
                not sure of one. By default as `valid`.

        Returns:
            int32 [B, A]: the ground truth's row, or UNMATCHED, or IGNORED.
        """
        similarity = tf.where(valid[..., tf.newaxis], similarity, _NOTHING_LIKE)
        matches = tf.argmax(similarity, axis=1, output_type=tf.int32)
        if self.matched_threshold is not None and self.unmatched_threshold is not None:
            best = tf.reduce_max(similarity, axis=1)
            low, between = UNMATCHED, IGNORED
            if not self.negatives_lower_than_unmatched:
                low, between = between, low
            matches = tf.where(best >= self.matched_threshold, matches, between)
            matches = tf.where(best < self.unmatched_threshold, low, matches)
        if self.force_match_for_each_row:
            sure = valid if weighty is None else tf.logical_and(valid, weighty)
            batch_size, num_rows, num_anchors = tf.unstack(tf.shape(similarity))
            best_anchor = tf.argmax(similarity, axis=2, output_type=tf.int32)
            best_anchor += num_anchors * tf.range(batch_size)[:, tf.newaxis]
            rows = tf.where(sure, tf.range(num_rows), num_rows)
            # The lowest: the first of several ground truths has the anchor.
            forced = tf.math.unsorted_segment_min(rows, best_anchor, batch_size * num_anchors)
            forced = tf.reshape(forced, tf.shape(matches))
            matches = tf.where(forced < num_rows, forced, matches)
        # Without any ground truth there is nothing that a threshold could have been compared with.
        return tf.where(tf.reduce_any(valid, axis=1, keepdims=True), matches, UNMATCHED)


@dataclasses.dataclass(frozen=True)
class BipartiteMatcher:
    """Gives each ground truth one anchor and no more: again and again the most similar pair that is still free.

    As the API's TF1 path; its TF2 path has none. Of equally similar pairs the first ground truth's first anchor goes
    first. Every other anchor is UNMATCHED.
    """

    def match(self, similarity: tf.Tensor, valid: tf.Tensor, weighty: tf.Tensor | None = None) -> tf.Tensor:
        """Matches anchors with ground truth.

        Args:
            similarity: float32 [B, M, A] of M ground truths, padding included, with A anchors.
            valid: bool [B, M], false for padding, which matches nothing.
            weighty: bool [B, M], false for ground truth that weighs nothing, which matches nothing either.

        Returns:
            int32 [B, A]: the ground truth's row, or UNMATCHED.
        """
        wanted = valid if weighty is None else tf.logical_and(valid, weighty)
        free = tf.where(wanted[..., tf.newaxis], similarity, _NOTHING_LIKE)
        batch_size, num_rows, num_anchors = tf.unstack(tf.shape(free))
        most_wanted = tf.reduce_max(tf.reduce_sum(tf.cast(wanted, tf.int32), axis=1))

        def take_best_pair(step: tf.Tensor, matches: tf.Tensor, free: tf.Tensor) -> tuple[tf.Tensor, ...]:
            best_pair = tf.argmax(tf.reshape(free, [batch_size, -1]), axis=1, output_type=tf.int32)
            is_free = tf.reduce_max(free, axis=[1, 2]) > _NOTHING_LIKE
            row, anchor = best_pair // num_anchors, best_pair % num_anchors
            taken_anchor = tf.one_hot(anchor, num_anchors, on_value=True, off_value=False)
            taken_row = tf.one_hot(row, num_rows, on_value=True, off_value=False)
            matches = tf.where(tf.logical_and(taken_anchor, is_free[:, tf.newaxis]), row[:, tf.newaxis], matches)
            taken = tf.logical_or(taken_row[:, :, tf.newaxis], taken_anchor[:, tf.newaxis])
            return step + 1, matches, tf.where(taken, _NOTHING_LIKE, free)

        _, matches, _ = tf.while_loop(
            lambda step, matches, free: step < most_wanted,
            take_best_pair,
            (0, tf.fill([batch_size, num_anchors], UNMATCHED), free),
        )
        return matches


def build_matcher(settings: matching.Matcher) -> ArgmaxMatcher | BipartiteMatcher:
    """Builds the matcher of settings."""
    if isinstance(settings, matching.BipartiteMatcher):
        return BipartiteMatcher()
    return ArgmaxMatcher.from_settings(settings)
