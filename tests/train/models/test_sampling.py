import numpy as np
import tensorflow as tf

from train.models.sampling import sample_balanced, sample_negatives


def test_sampling_draws_at_most_the_share_of_positives_and_fills_up_with_negatives():
    positive = tf.constant([[True] * 6 + [False] * 20, [True] + [False] * 25])
    eligible = tf.constant([[True] * 25 + [False]] * 2)
    drawn = sample_balanced(positive, eligible, batch_size=8, positive_fraction=0.5).numpy()
    assert drawn.sum(axis=1).tolist() == [8, 8]
    assert (drawn & positive.numpy()).sum(axis=1).tolist() == [4, 1]
    assert not drawn[:, 25].any()


def test_all_positives_stay_and_negatives_make_up_their_share():
    positive = np.zeros((3, 40), bool)
    positive[0, :6] = positive[1, :2] = True
    eligible = np.ones((3, 40), bool)
    eligible[0, 0] = False
    eligible[1, 5:] = False
    drawn = sample_negatives(tf.constant(positive), tf.constant(eligible), positive_fraction=0.25).numpy()
    # 5 eligible positives and 15 negatives; 2 and the 3 negatives that there are; none without positives.
    assert (drawn & positive).sum(axis=1).tolist() == [5, 2, 0]
    assert (drawn & ~positive).sum(axis=1).tolist() == [15, 3, 0]
    assert not (drawn & ~eligible).any()


def test_a_share_that_leaves_32_bits_keeps_all_negatives():
    positive = tf.constant([[True] + [False] * 5])
    drawn = sample_negatives(positive, tf.ones_like(positive), positive_fraction=1e-12)
    assert drawn.numpy().all()


def test_draws_are_random_and_reach_every_candidate():
    positive, eligible = tf.constant([[True] + [False] * 5]), tf.constant([[True] * 5 + [False]])
    draws = np.array([sample_negatives(positive, eligible, positive_fraction=0.5).numpy()[0] for _ in range(60)])
    assert (draws.sum(axis=1) == 2).all()
    assert draws[:, 1:5].any(axis=0).all()


def test_with_seeds_an_image_has_the_same_sample_in_whatever_batch_it_is():
    positive = tf.constant(np.random.default_rng(0).random((3, 40)) < 0.3)
    eligible, seeds = tf.ones_like(positive), tf.constant([[1, 5], [1, 6], [1, 7]], tf.int64)

    def drawn(rows: slice) -> np.ndarray:
        part = {"positive": positive[rows], "eligible": eligible[rows], "seeds": seeds[rows]}
        return sample_balanced(**part, batch_size=8, positive_fraction=0.5).numpy()

    together = drawn(slice(0, 3))
    np.testing.assert_array_equal(together, np.concatenate([drawn(slice(0, 1)), drawn(slice(1, 3))]))
    np.testing.assert_array_equal(together, drawn(slice(0, 3)))
    assert (together[0] != together[1]).any()
