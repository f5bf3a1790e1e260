import numpy as np
import tensorflow as tf

from train.losses import sigmoid_cross_entropy, sigmoid_focal, smooth_l1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_smooth_l1_is_a_parabola_up_to_delta_and_a_line_beyond():
    codes, targets = tf.constant([[0.0, 0.5, 2.0, -3.0]]), tf.zeros([1, 4])
    expected = 0.5 * 0.5**2 + (2.0 - 0.5) + (3.0 - 0.5)
    np.testing.assert_allclose(smooth_l1(codes, targets, delta=1.0), [expected])
    np.testing.assert_allclose(smooth_l1(codes, targets, delta=0.1), [0.1 * (0.45 + 1.95 + 2.95)], rtol=1e-6)


def test_focal_loss_equals_the_papers_equation():
    logits, targets = np.array([2.0, -1.0, 0.3]), np.array([1.0, 0.0, 0.0])
    p = np.where(targets == 1, sigmoid(logits), 1 - sigmoid(logits))
    alpha = np.where(targets == 1, 0.25, 0.75)
    expected = (-alpha * (1 - p) ** 2 * np.log(p)).sum()
    found = sigmoid_focal(tf.constant([logits], tf.float32), tf.constant([targets], tf.float32), alpha=0.25, gamma=2.0)
    np.testing.assert_allclose(found, [expected], rtol=1e-5)


def test_focal_loss_without_gamma_and_alpha_is_cross_entropy():
    logits, targets = tf.constant([[2.0, -1.0]]), tf.constant([[0.0, 1.0]])
    np.testing.assert_allclose(
        sigmoid_focal(logits, targets, alpha=None, gamma=0.0), sigmoid_cross_entropy(logits, targets), rtol=1e-6
    )
