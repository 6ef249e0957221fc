"""The training loop on steps that compute nothing."""

import types
import weakref

import numpy as np
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import Flow, LoopSettings, train_on
from gim_tf.training.replicas import Replicas
from gim_tf.training.schedules import Phase


class NotTheChief(Replicas):
    is_chief = False


def train(step, phases, batches, **options):
    """Log lines every 4 steps, of `step`'s metrics."""
    stack = types.SimpleNamespace(module_names=(), gim_modules=())
    lines = []
    train_on(
        types.SimpleNamespace(stack=stack, compiled_step=step),
        Flow(batches, 1, Interrupts()),
        LoopSettings(phases, 4, 100, show_progress=False),
        checkpoints=types.SimpleNamespace(save=lambda step: None),
        start_step=0,
        on_log=lines.append,
        **options,
    )
    return lines


def batch():
    return Batch(tf.zeros((1, 1)), tf.zeros((1,), tf.int64))


def test_a_process_that_logs_nothing_keeps_no_metrics():
    """Those of a long run would fill its memory."""
    arrays, kept = [], []

    class Value:
        def numpy(self):
            array = np.array(1.0)
            arrays.append(weakref.ref(array))
            return array

    def step(x, labels, trained):
        return {"module_1": {"loss": Value(), "gradient_norm": Value()}}

    def batches():
        while True:
            kept.append(sum(array() is not None for array in arrays))
            yield batch()

    phases = [Phase(40, (True,))]
    assert not train(step, phases, batches(), replicas=NotTheChief())
    assert len(arrays) == 80
    # Two a step, of the steps since the last log line.
    assert max(kept) <= 2 * 4


def test_the_last_steps_of_a_phase_have_a_line_too():
    """A line is of one phase: they would be in none."""
    numbers = iter(range(1, 100))

    def step(x, labels, trained):
        number = tf.constant(float(next(numbers)))
        name = f"module_{trained.index(True) + 1}"
        return {name: {"loss": number, "gradient_norm": number}}

    phases = [Phase(6, (True, False)), Phase(6, (False, True))]
    lines = train(step, phases, (batch() for _ in range(12)))
    assert [line["step"] for line in lines] == [4, 6, 8, 12]
    losses = [
        {name: line[name]["loss"] for name in line if "module" in name}
        for line in lines
    ]
    assert losses == [
        {"module_1": 2.5},
        {"module_1": 5.5},
        {"module_2": 7.5},
        {"module_2": 10.5},
    ]
