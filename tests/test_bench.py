"""Benches: what is counted equals what is counted by hand."""

import dataclasses
import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from gim_tf import build, config, experiments
from gim_tf.bench import depth, memory
from gim_tf.bench.flops import count_flops
from gim_tf.bench.gemm import gemm_gflops
from gim_tf.bench.kept import kept_bytes
from gim_tf.bench.own_process import measure_apart
from gim_tf.bench.step import measure, serve
from gim_tf.bench.stepper import Plan, Stepper
from gim_tf.bench.summed import summed_step
from gim_tf.errors import BenchError, ConfigError
from tests.conftest import TINY

pytestmark = pytest.mark.integration


def traced(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    function = tf.function(function, autograph=False)
    return function.get_concrete_function(*specs).graph


def test_a_convolution_and_its_gradients():
    kernel = tf.Variable(tf.ones((3, 5, 4, 6)))

    def forward(x):
        return tf.nn.conv2d(x, kernel, (1, 2, 1, 1), "VALID")

    def backward(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(forward(x) ** 2)
        return tape.gradient(loss, kernel)

    def all_of_it(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(forward(x) ** 2)
        return tape.gradient(loss, (x, kernel))

    shape = (2, 9, 8, 4)  # leaves [2, 4, 4, 6]
    once = 2 * (2 * 4 * 4 * 6) * (3 * 5 * 4)
    assert count_flops(traced(forward, shape)) == once
    # Nothing asks for the gradient of x, which is traced all the same.
    assert count_flops(traced(backward, shape)) == 2 * once
    assert count_flops(traced(all_of_it, shape)) == 3 * once


def test_products_of_matrices():
    def count(function, *shapes):
        return count_flops(traced(function, *shapes))

    def einsum(equation):
        return lambda a, b: tf.einsum(equation, a, b)

    def transposed(a, b):
        return tf.matmul(a, b, transpose_a=True)

    assert count(tf.matmul, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert count(transposed, (5, 3), (5, 7)) == 2 * 3 * 5 * 7
    assert count(tf.matmul, (4, 3, 5), (4, 5, 7)) == 4 * 2 * 3 * 5 * 7
    assert count(transposed, (4, 5, 3), (1, 5, 7)) == 4 * 2 * 3 * 5 * 7
    assert count(einsum("abc,dc->bad"), (2, 3, 5), (7, 5)) == 2 * 2 * 3 * 5 * 7
    assert count(einsum("...c,cd->...d"), (2, 3, 5), (5, 7)) == 420
    assert count(lambda a: tf.einsum("ab->ba", a), (3, 5)) == 0


def test_functions_loops_and_branches():
    inner = tf.function(tf.matmul, autograph=False)

    def called_twice(a, b):
        return inner(a, b) + inner(b, a)

    def branched(a, b):
        return tf.cond(a[0, 0] > 0, lambda: tf.matmul(a, b), lambda: a @ b @ b)

    shapes = ((4, 4), (4, 4))
    once = 2 * 4**3
    assert count_flops(traced(called_twice, *shapes)) == 2 * once
    assert count_flops(traced(branched, *shapes)) == 2 * once

    def unbounded(a):
        return tf.while_loop(
            lambda x: tf.reduce_sum(x) < 9.0, lambda x: (x @ a,), (a,)
        )

    with pytest.raises(ValueError, match="maximum_iterations"):
        count_flops(traced(unbounded, (4, 4)))


def test_a_gru_counts_every_step():
    gru = keras.layers.GRU(5, return_sequences=True, use_cudnn=False)
    gru.build((None, None, 3))

    def forward(x):
        return gru(x)

    def backward(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(gru(x) ** 2)
        return tape.gradient(loss, gru.trainable_variables)

    shape = (2, 7, 3)
    of_input, of_state = 2 * 2 * 3 * 15, 2 * 2 * 5 * 15
    assert count_flops(traced(forward, shape)) == 7 * (of_input + of_state)
    # Gradients of both kernels and of the state; none of the input.
    assert count_flops(traced(backward, shape)) == 7 * (
        2 * of_input + 3 * of_state
    )


def test_bytes_that_the_backward_pass_reads():
    weights = [tf.Variable(tf.ones((4, 4))) for _ in range(2)]

    def step(x):
        with tf.GradientTape() as tape:
            y = tf.nn.relu(tf.reshape(x, (3, 4)) @ weights[0])
            loss = tf.reduce_sum(y @ weights[1])
        return tape.gradient(loss, weights)

    # x, whose reshape is no other buffer, and y: the products' gradients read
    # them, and ReLU's reads y once more. No weight.
    graph = traced(step, (1, 3, 4))
    assert kept_bytes(graph, freed=False) == 4 * (12 + 12)
    assert kept_bytes(graph, freed=True) == 4 * (12 + 12)


def test_what_a_loop_keeps_counts_every_trip():
    weight = tf.Variable(tf.ones((4, 4)))

    def step(x):
        with tf.GradientTape() as tape:
            _, y = tf.while_loop(
                lambda i, y: i < 5,
                lambda i, y: (i + 1, tf.tanh(y @ weight)),
                (0, x),
                maximum_iterations=5,
            )
            loss = tf.reduce_sum(y)
        return tape.gradient(loss, weight)

    # The state before each step and the tanh after it, and the number of
    # trips; the weight, which is stacked too, is one.
    assert kept_bytes(traced(step, (3, 4)), freed=False) == 5 * 2 * 4 * 12 + 4


def test_freed_tapes_keep_the_largest_module(tiny):
    def kept(**plan):
        plan = Plan(experiment=tiny, **plan)
        (graph,) = Stepper(plan).graphs()
        return kept_bytes(graph, freed=plan.loss == "per-module")

    alone = [kept(module=module) for module in (1, 2, 3)]
    assert kept() == max(alone)
    assert max(alone) < kept(loss="summed") <= sum(alone)


def test_the_summed_step_is_the_library_s(tiny, grid):
    x, labels = grid

    def weights(step):
        stack = build.build_stack(tiny)
        step(build.build_trainer(tiny, stack))
        return [v.numpy() for v in stack.trainable_variables]

    ours = weights(lambda t: t.compiled_step(x, labels, (True,) * 3))
    summed = tf.function(summed_step, autograph=False)
    for ours_, theirs in zip(
        ours, weights(lambda t: summed(t, x, labels)), strict=True
    ):
        np.testing.assert_allclose(ours_, theirs, atol=1e-5)


@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_a_step_is_measured(tiny, schedule):
    tiny = config.resolve(tiny, [f"training.schedule={schedule}"])
    found = json.loads(
        json.dumps(
            measure(
                Plan(experiment=tiny), steps=2, threads=None, gemm=lambda: 2.0
            )
        )
    )
    for key in ("wall_s", "cpu_s"):
        spread = found[key]
        assert 0 < spread["min"] <= spread["median"] <= spread["max"]
    seconds = found["wall_s"]["median"]
    assert found["examples_per_second"] == pytest.approx(8 / seconds)
    assert found["gemm_fraction"] == pytest.approx(
        found["flops_per_step"] / seconds / 2e9
    )
    assert found["parameters"] == sum(
        int(np.prod(v.shape))
        for v in build.build_stack(tiny).trainable_variables
    )
    assert found["batch_size"] == 8
    assert found["peak_mib_above_import"] >= 0
    assert {"experiment", "threads", "machine", "gemm_gflops"} <= set(found)


def test_real_data_and_classes_that_ingest_would_find(
    tiny, tiny_records, tiny_sequence
):
    tiny_records.joinpath("ingest.json").write_text("{}")
    data = dataclasses.replace(tiny.data, path=str(tiny_records))
    Stepper(Plan(experiment=dataclasses.replace(tiny, data=data))).step()
    supervised = dataclasses.replace(
        tiny_sequence,
        stack=dataclasses.replace(
            experiments.get("librispeech_supervised").stack,
            encoder=tiny_sequence.stack.encoder,
        ),
    )
    stepper = Stepper(Plan(experiment=supervised))
    assert stepper.stack.gim_modules[0].objective.num_classes == 251
    with pytest.raises(ConfigError, match="not known before ingest"):
        build.build_stack(supervised)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"module": 4}, "1 to 3"),
        ({"module": 0}, "1 to 3"),
        ({"module": 1, "loss": "summed"}, "leave --module"),
    ],
)
def test_plans_that_do_not_go_together(tiny, plan, message):
    with pytest.raises(ConfigError, match=message):
        Stepper(Plan(experiment=tiny, **plan))


def test_a_command_that_is_none(tiny):
    replies = []
    with pytest.raises(ConfigError, match="received 'stop 2'"):
        serve(Plan(experiment=tiny), ["stop 2\n"], replies.append, threads=None)
    assert json.loads(replies[0])["ready"] == 1


def test_a_product_is_fast():
    assert gemm_gflops(sizes=(64, 256), repeats=2) > 0.1


@pytest.mark.parametrize(
    ("name", "modules"),
    [("stl10_gim_resnet34", 3), ("fashion_mnist_gim", 3), ("flite_gim", 6)],
)
def test_memory_compares_the_same_blocks(name, modules):
    experiment = config.resolve(
        experiments.get(name), ["training.batch_size=3"]
    )
    found = list(memory.variants(experiment))
    assert len(found) == 4 + modules
    assert found[0].name == memory.SUPERVISED
    for variant in found:
        own = variant.plan.experiment
        config.validate(own)
        assert own.stack.encoder == experiment.stack.encoder
        assert own.training.batch_size == 3
    with pytest.raises(ConfigError, match="stl10"):
        list(memory.variants(experiments.get("cifar10_predsim")))


def test_depth_separates_activations_from_the_graph(monkeypatch):
    def measured(plan, *, steps, threads):
        stack, training = plan.experiment.stack, plan.experiment.training
        blocks = stack.encoder.num_blocks - 1
        held = 1 if plan.loss == "per-module" else blocks
        if stack.num_modules == 1:
            held = blocks
        return {
            "batch_size": training.batch_size,
            "parameters": 1000 * blocks,
            "peak_mib_above_import": 50
            + 9 * blocks
            + 2 * held * training.batch_size,
            "kept_mib": 1.5 * held,
            "wall_s": {"median": 0.25 * blocks},
        }

    monkeypatch.setattr(depth, "measure_apart", measured)
    found = depth.measure(
        (1, 4), batch_size=8, steps=1, threads=1, report=lambda line: None
    )
    assert [row["activations_mib"] for row in found["rows"]] == [
        *(16, 16, 16),
        *(16, 64, 64),
    ]
    slopes = found["a_module"]
    assert slopes["freed"] == pytest.approx(
        {"seconds": 0.25, "peak_mib": 9, "activations_mib": 0, "kept_mib": 0},
        abs=1e-9,
    )
    assert slopes["summed"]["activations_mib"] == pytest.approx(16)
    with pytest.raises(ConfigError, match="--modules"):
        depth.plans(0, 8)
    with pytest.raises(ConfigError, match="--batch-size"):
        depth.plans(1, 1)


def test_a_process_that_fails_says_so(tiny, monkeypatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(BenchError, match="ended with code 1"):
        measure_apart(Plan(experiment=tiny), steps=1, threads=1)


def test_a_driver_asks_for_steps():
    words = [word for setting in TINY for word in ("--set", setting)]
    command = ["bench", "step", "--experiment", "fashion_mnist_gim", *words]
    driven = subprocess.Popen(
        [sys.executable, "-m", "gim_tf.cli", *command, "--interactive"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    ready = json.loads(driven.stdout.readline())
    assert set(ready) == {"ready", "nparam", "rss_import", "hwm"}
    assert 50 < ready["rss_import"] <= ready["hwm"]
    for count in (1, 3):
        driven.stdin.write(f"step {count}\n")
        driven.stdin.flush()
        answer = json.loads(driven.stdout.readline())
        assert len(answer["ts"]) == count
        assert all(wall > 0 and cpu > 0 for wall, cpu in answer["ts"])
        assert answer["hwm"] >= ready["hwm"]
    rest, _ = driven.communicate(timeout=60)
    assert rest == ""
    assert driven.returncode == 0


def test_a_step_in_a_process_of_its_own(tiny):
    found = measure_apart(Plan(experiment=tiny, module=2), steps=1, threads=1)
    assert found["module"] == 2
    assert found["threads"] == 1
    assert "gemm_gflops" not in found
