"""The supervised objective equals its definition."""

import math

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.losses import Supervised, SupervisedFrames
from tests import reference


def test_it_equals_the_slow_twin():
    drawn = np.random.default_rng(0)
    context = drawn.normal(size=(6, 3, 2, 5)).astype(np.float32)
    labels = np.array([0, 3, -1, 2, 2, -1])
    head = Supervised(num_classes=4, seed=1)
    output = head(context, context, labels)
    nats, right = reference.cross_entropy(
        context, labels, head.kernel.numpy(), head.bias.numpy()
    )
    np.testing.assert_allclose(output.loss, nats, rtol=1e-5)
    np.testing.assert_allclose(output.accuracy, right)
    assert head.chance_loss == math.log(4)


@pytest.mark.parametrize("steps", [4, 6, 9])
def test_frames_equal_the_slow_twin(steps):
    drawn = np.random.default_rng(1)
    context = drawn.normal(size=(3, steps, 2, 5)).astype(np.float32)
    labels = np.array([[0, 3, -1, 2], [-1, -1, 1, 1], [2, 0, 0, 3]])
    head = SupervisedFrames(num_classes=4, seed=1)
    output = head(context, context, tf.constant(labels))
    # Each label from the mean of the steps that it overlaps, lane by lane.
    rows, wanted = [], []
    for example in range(3):
        for index in range(4):
            overlap = [
                step
                for step in range(steps)
                if step < (index + 1) * steps / 4
                and step + 1 > index * steps / 4
            ]
            for lane in range(2):
                rows.append(context[example, overlap, lane].mean(0))
                wanted.append(labels[example, index])
    nats, right = reference.cross_entropy(
        np.array(rows)[:, None, None],
        np.array(wanted),
        head.kernel.numpy(),
        head.bias.numpy(),
    )
    np.testing.assert_allclose(output.loss, nats, rtol=1e-5)
    np.testing.assert_allclose(output.accuracy, right, rtol=1e-6)


def test_labels_of_examples_or_too_few_steps_are_refused():
    context = tf.zeros((2, 3, 1, 5))
    head = SupervisedFrames(num_classes=4)
    with pytest.raises(ValueError, match=r"labels \[b, l\]"):
        head(context, context, tf.constant([1, 2]))
    with pytest.raises(ValueError, match="3 steps for 4 labels"):
        head(context, context, tf.zeros((2, 4), tf.int64))
