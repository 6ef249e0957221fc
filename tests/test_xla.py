"""A step that XLA compiles is the same step, to rounding."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config

pytestmark = pytest.mark.integration


@pytest.fixture(params=["patches", "sequence"])
def experiment_and_grid(request, tiny, grid, tiny_sequence, sequence_grid):
    if request.param == "patches":
        return tiny, grid[0]
    return tiny_sequence, sequence_grid


def trained(experiment, x, *, jit_compile, which=None, steps=3):
    """Losses of each step, and the weights behind the last one."""
    experiment = config.resolve(
        experiment, [f"training.jit_compile={jit_compile}"]
    )
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    which = which or (True,) * len(stack.gim_modules)
    labels = tf.zeros([len(x)], tf.int64)
    losses = [
        [float(m["loss"]) for m in metrics.values()]
        for metrics in (
            trainer.compiled_step(tf.constant(x), labels, which)
            for _ in range(steps)
        )
    ]
    weights = [variable.numpy() for variable in stack.trainable_variables]
    return np.array(losses), weights, trainer


def test_losses_and_weights_are_the_same_to_rounding(experiment_and_grid):
    experiment, x = experiment_and_grid
    plain, weights, _ = trained(experiment, x, jit_compile=False)
    compiled, others, trainer = trained(experiment, x, jit_compile=True)
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
    for ours, theirs in zip(weights, others, strict=True):
        # Adam makes a step of a gradient of almost 0, whatever its sign is.
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
        assert np.mean(np.abs(ours - theirs)) < 1e-5
    assert trainer.compiled_step.experimental_get_tracing_count() == 1


def test_a_module_that_is_not_trained_stays(tiny, grid):
    x = grid[0]
    only = (False, True, False)
    _, before, _ = trained(tiny, x, jit_compile=True, which=only, steps=0)
    plain, *_ = trained(tiny, x, jit_compile=False, which=only)
    compiled, others, trainer = trained(tiny, x, jit_compile=True, which=only)
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)
    sizes = [len(m.trainable_variables) for m in trainer.stack.gim_modules]
    first, second = sizes[0], sizes[0] + sizes[1]
    for index, (old, new) in enumerate(zip(before, others, strict=True)):
        assert np.array_equal(old, new) == (not first <= index < second)


def test_each_module_is_one_compiled_function(tiny, grid):
    _, _, trainer = trained(tiny, grid[0], jit_compile=True, steps=0)
    graph = trainer.compiled_step.get_concrete_function(
        tf.constant(grid[0]), tf.zeros([3], tf.int64), (True, True, True)
    ).graph
    calls = [op for op in graph.get_operations() if "Call" in op.type]
    must = [op for op in calls if op.get_attr("_XlaMustCompile")]
    assert len(must) == 3
    assert not [op for op in graph.get_operations() if op.type == "Conv2D"]
