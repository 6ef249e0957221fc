"""The paper's claim, as mathematics: modules train apart, and it is exact."""

import dataclasses
import typing

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config
from gim_tf.recomputation import recomputed
from gim_tf.training.adam import Adam

RECOMPUTED = ["training.recompute_groups=3"]


CLASSES = "data.class_names=['a', 'b', 'c', 'd']"
FRAMES = (
    "stack.objective.kind=supervised",
    "stack.objective.labels_of=frame",
    "data.frame_names=['x', 'y']",
)
OBJECTIVES = {
    "info_nce": [],
    "supervised": ["stack.objective.kind=supervised"],
    "deep_infomax": [
        "stack.objective.kind=deep_infomax",
        "stack.objective.mi_units=8",
    ],
    "predsim": ["stack.objective.kind=predsim"],
}


def test_every_objective_is_here():
    (options,) = (
        typing.get_args(field.type)
        for field in dataclasses.fields(config.StackConfig)
        if field.name == "objective"
    )
    assert {option.kind for option in options} == set(OBJECTIVES)


@pytest.fixture(
    params=[
        *(
            f"{kind}-{objective}"
            for kind in ("patches", "sequence")
            for objective in OBJECTIVES
        ),
        "every_gru-info_nce",
        "frames-supervised",
        "patches-info_nce-recomputed",
        "sequence-info_nce-recomputed",
        "patches-predsim-recomputed",
    ]
)
def experiment_and_grid(request, tiny, grid, tiny_sequence, sequence_grid):
    """Both kinds of grid, and every objective and context in modules."""
    kind, objective, *more = request.param.split("-")
    words = [*OBJECTIVES[objective], *(RECOMPUTED if more else [])]
    if kind == "patches":
        return config.resolve(tiny, words), grid[0]
    if kind == "every_gru":
        # Hundreds of steps in module 1, one by one: the fewest that can be.
        words += ["stack.autoregressor_at=every", "stack.objective.window=4"]
        sequence_grid = sequence_grid[:, :640]
    if kind == "frames":
        words = [*FRAMES]
    return config.resolve(tiny_sequence, [*words, CLASSES]), sequence_grid


def test_T9_no_module_s_loss_reaches_another_module(
    experiment_and_grid, injected
):
    experiment, x = experiment_and_grid
    labels = np.array([0, 1, -1])
    if experiment.stack.learns_frames:
        labels = np.tile(labels[:, None], build.label_shape(experiment))
    stack = build.build_stack(experiment)
    with tf.GradientTape(persistent=True) as tape:
        losses, z = [], tf.constant(x)
        for module in stack.gim_modules:
            output = module(z, tf.constant(labels), training=True)
            losses.append(output.loss)
            z = output.z
    variables = [m.trainable_variables for m in stack.gim_modules]
    wrong = [
        (k, j)
        for k, loss in enumerate(losses)
        for j, found in enumerate(tape.gradient(loss, variables))
        if not all((g is None) == (j != k) for g in found)
    ]
    injected(len(losses) * (len(losses) - 1), wrong)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_tape_a_module_equals_one_tape_over_the_summed_loss(
    objective, tiny, grid
):
    experiment = config.resolve(tiny, OBJECTIVES[objective])
    x, labels = (tf.constant(a) for a in grid)
    apart, together = (build.build_stack(experiment) for _ in range(2))
    trainer = build.build_trainer(experiment, apart)
    # Adam makes steps of rounding where a gradient is nearly nothing, as some
    # are but those of InfoNCE: compiled sums are rounded in another order.
    compiled = objective == "info_nce"
    step = trainer.compiled_step if compiled else trainer.train_step
    variables = together.trainable_variables
    training = experiment.training
    optimizer = Adam(training.learning_rate, epsilon=training.epsilon)
    optimizer.build(variables)
    for _ in range(3):
        step(x, labels, (True, True, True))
        with tf.GradientTape() as tape:
            z, total = x, 0.0
            for module in together.gim_modules:
                output = module(z, labels, training=True)
                total += output.loss
                z = output.z
        optimizer.apply(tape.gradient(total, variables), variables)
    for ours, theirs in zip(apart.trainable_variables, variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_a_module_that_is_not_trained_stays_as_it_is(tiny, grid):
    x, labels = (tf.constant(a) for a in grid)
    stack = build.build_stack(tiny)
    trainer = build.build_trainer(tiny, stack)
    before = [[v.numpy() for v in m.variables] for m in stack.gim_modules]
    metrics = trainer.compiled_step(x, labels, (False, True, False))
    assert list(metrics) == ["module_2"]
    for index, module in enumerate(stack.gim_modules):
        same = all(
            np.array_equal(a, b.numpy())
            for a, b in zip(before[index], module.variables, strict=True)
        )
        assert same == (index != 1)


def test_initial_losses_are_close_to_chance(tiny, grid):
    stack = build.build_stack(tiny)
    z = tf.constant(grid[0])
    for module in stack.gim_modules:
        output = module(z)
        assert output.loss.numpy() == pytest.approx(np.log(17), abs=0.1)
        z = output.z


def test_a_phase_is_one_trace(tiny, grid):
    x, labels = (tf.constant(a) for a in grid)
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    for _ in range(3):
        trainer.compiled_step(x, labels, (True, True, True))
    assert trainer.compiled_step.experimental_get_tracing_count() == 1


def test_the_next_module_waits_until_activations_are_free(tiny, grid):
    """In the graph, a module's input waits for the gradients before it."""
    x, labels = (tf.constant(a) for a in grid)
    trainer = build.build_trainer(tiny, build.build_stack(tiny))
    graph = trainer.compiled_step.get_concrete_function(
        x, labels, (True, True, True)
    ).graph
    handovers = [
        op
        for op in graph.get_operations()
        if op.type == "Identity" and len(op.control_inputs) > 1
    ]
    counts = [len(m.trainable_variables) for m in trainer.stack.gim_modules]
    assert [len(op.control_inputs) for op in handovers] == counts
    for handover, module in zip(
        handovers, trainer.stack.gim_modules, strict=True
    ):
        # What it waits for is what the optimizer reads: one gradient a
        # variable, each of the variable's shape.
        shapes = sorted(
            tuple(op.outputs[0].shape) for op in handover.control_inputs
        )
        assert shapes == sorted(
            tuple(v.shape) for v in module.trainable_variables
        )


def test_greedy_supervised_ignores_examples_without_a_label(tiny, grid):
    supervised = config.resolve(tiny, ["stack.objective.kind=supervised"])
    x, labels = grid
    stack = build.build_stack(supervised)
    module = stack.gim_modules[0]
    with_unknown = module(tf.constant(x), tf.constant(labels)).loss
    without = module(tf.constant(x[:2]), tf.constant(labels[:2])).loss
    assert with_unknown.numpy() == pytest.approx(without.numpy(), abs=1e-6)
    unknown = tf.constant([-1, -1, -1], tf.int64)
    assert module(tf.constant(x), unknown).loss.numpy() == 0.0


@pytest.mark.parametrize("kind", ["patches", "sequence"])
def test_recomputing_changes_nothing_but_the_memory(
    kind, tiny, grid, tiny_sequence, sequence_grid
):
    experiment, x = {
        "patches": (tiny, grid[0]),
        "sequence": (tiny_sequence, sequence_grid),
    }[kind]
    stacks = [
        build.build_stack(config.resolve(experiment, words))
        for words in ([], RECOMPUTED)
    ]
    labels = tf.constant([0, 1, 1])
    for stack in stacks:
        trainer = build.build_trainer(experiment, stack)
        trainer.train_step(x, labels, (True,) * len(stack.gim_modules))
    plain, recomputed = (stack.trainable_variables for stack in stacks)
    for one, other in zip(plain, recomputed, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_groups_that_do_not_divide_the_batch_are_refused(tiny, grid):
    experiment = config.resolve(tiny, ["training.recompute_groups=2"])
    module = build.build_stack(experiment).gim_modules[0]
    with pytest.raises(ValueError, match="must divide the batch of 3"):
        module(grid[0], training=True)


def test_no_example_is_left_out_of_a_batch_of_unknown_size():
    @tf.function(input_signature=[tf.TensorSpec((None, 2))])
    def doubled(x):
        return recomputed(lambda part: (2 * part, 3 * part), x, 2)

    z, pooled = doubled(tf.ones((4, 2)))
    assert z.shape == pooled.shape == (4, 2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must divide"):
        doubled(tf.ones((3, 2)))
