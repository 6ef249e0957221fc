"""The supervised objective equals its definition."""

import math

import numpy as np

from gim_tf.losses import Supervised
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
