"""What a training step costs, counted in its graph, and held to a bound.

Seconds differ from machine to machine, counts do not: these are the same
wherever this TensorFlow traces the step. A bound is the count of the day plus a
tenth. Where a change is worth more than it costs, raise the bound with it, and
say in the commit what it buys; `gim bench step` tells the seconds.
"""

import math
from typing import NamedTuple

import pytest
import tensorflow as tf

from gim_tf import build, config, experiments
from gim_tf.bench.graphs import called, live_operations
from gim_tf.bench.kept import kept_bytes
from gim_tf.losses import InfoNCE
from tests.conftest import TINY, TINY_SEQUENCE

pytestmark = pytest.mark.integration


class Bounds(NamedTuple):
    """The most that a tiny experiment may cost.

    Attributes:
      weights: arrays of the stack, exactly: a checkpoint holds them, and one
        more makes older ones unreadable.
      optimizer: arrays of the optimizers, exactly, for the same reason.
      operations: that the step runs. Each takes microseconds whatever its
        size, which is what a small step is made of; a loop that was unrolled
        or a loss that is computed step by step shows here.
      largest: bytes of the largest tensor. One that grows with two sizes at
        once (anchors and negatives) ends a training of real size.
      kept: bytes that forward tensors take until the backward pass has read
        them: what a step needs at its peak, besides that.
      sliced: gradients of slices that are as large as a module's z. Each
        fills a z with zeros, and is added to the next.
    """

    weights: int
    optimizer: int
    operations: int
    largest: int
    kept: int
    sliced: int


CASES = {
    "fashion_mnist_gim": (
        TINY,
        Bounds(
            weights=24,
            optimizer=48,
            operations=2263,  # 2058
            largest=965_888,  # 878,080: scores of all 392 rows of z
            kept=330_554,  # 300,504
            sliced=0,
        ),
    ),
    "librispeech_gim": (
        TINY_SEQUENCE,
        Bounds(
            weights=26,
            optimizer=50,
            operations=4019,  # 3654, with the bodies of its loops
            largest=77_862,  # 70,784: scores of all 316 rows of z
            kept=64_099,  # 58,272
            sliced=10,  # two halves of each of five convolutions
        ),
    ),
}


class Step(NamedTuple):
    """A step that was called three times, and its traced graph."""

    trainer: object
    graph: tf.Graph
    z_sizes: set[int]
    bounds: Bounds


@pytest.fixture(scope="module", params=list(CASES))
def step(request):
    overrides, bounds = CASES[request.param]
    experiment = config.resolve(experiments.get(request.param), overrides)
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    size = experiment.training.batch_size
    views = tf.random.stateless_normal(
        (size, *build.view_shape(experiment)), (0, 0)
    )
    x = build.build_to_grid(experiment)(views)
    trained = (True,) * experiment.stack.num_modules
    arguments = (x, tf.zeros((size,), tf.int64), trained)
    for _ in range(3):
        trainer.compiled_step(*arguments)
    graph = trainer.compiled_step.get_concrete_function(*arguments).graph
    z_sizes = {math.prod(z.shape) for z in stack.grids(x).values()}
    return Step(trainer, graph, z_sizes, bounds)


def run_operations(graph):
    """All that runs, in loops and branches too, each counted once."""
    for op in live_operations(graph):
        yield op
        for bodies, _ in called(op):
            for body in bodies:
                yield from run_operations(body)


def tensors(graph):
    for op in run_operations(graph):
        for tensor in op.outputs:
            if tensor.dtype not in (tf.resource, tf.variant):
                yield tensor


def elements(tensor):
    """0 where the size is not known: of indices of axes, a few numbers."""
    shape = tensor.shape
    return math.prod(shape) if shape.is_fully_defined() else 0


def test_steps_after_the_first_trace_nothing(step):
    # A trace takes seconds; one a step is what a Python number among the
    # arguments, or a shape that changes, costs without a word.
    assert step.trainer.compiled_step.experimental_get_tracing_count() == 1


def test_variables_are_as_many_as_checkpoints_have(step):
    trainer = step.trainer
    assert len(trainer.stack.variables) == step.bounds.weights
    arrays = [len(one.variables) for one in trainer.optimizers]
    assert sum(arrays) == step.bounds.optimizer


def test_operations_stay_few(step):
    assert len(list(run_operations(step.graph))) <= step.bounds.operations


def test_sizes_are_known_before_a_step_runs(step):
    # Else the bounds below would not see what grows.
    unknown = {
        tensor.op.type
        for tensor in tensors(step.graph)
        if not tensor.shape.is_fully_defined()
    }
    assert unknown <= {"BroadcastGradientArgs"}


def test_the_largest_tensor_stays_small(step):
    largest = max(tensors(step.graph), key=elements)
    size = elements(largest) * largest.dtype.size
    assert size <= step.bounds.largest, largest


def test_little_is_kept_for_the_backward_pass(step):
    assert kept_bytes(step.graph, freed=True) <= step.bounds.kept


def test_no_slice_of_z_is_undone_in_the_loss(step):
    # A slice for each prediction step was: K gradients of the size of z, one
    # of them not zero in each row, and K - 1 sums.
    sliced = [
        op.name
        for op in run_operations(step.graph)
        if op.type == "StridedSliceGrad"
        and elements(op.outputs[0]) in step.z_sizes
    ]
    assert not [name for name in sliced if "info_nce" in name]
    assert len(sliced) <= step.bounds.sliced, sliced


@pytest.mark.parametrize("negatives", ["permuted", "sequence"])
@pytest.mark.parametrize(
    "size",
    [
        pytest.param(4, id="table"),  # 400 rows of z, up to 128 a negative
        pytest.param(16, id="gathered"),  # 1600, more than that
    ],
)
def test_shared_negatives_are_not_gathered_for_every_anchor(size, negatives):
    # [anchors, negatives, channels] was the largest tensor of a step, and kept.
    steps, number, time, channels = 4, 10, 100, 128
    z = tf.random.stateless_normal((size, time, 1, channels), (0, 0))
    objective = InfoNCE(
        prediction_steps=steps, num_negatives=number, negatives=negatives
    )
    objective(z, z)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(z)
            loss = objective(z, z).loss
        return tape.gradient(loss, [z, objective.w_k])

    graph = gradient.get_concrete_function().graph
    anchors = steps * size * (time - 1)
    largest = max(tensors(graph), key=elements)
    assert elements(largest) < anchors * number * channels / 2, largest
