"""The training loop on steps that compute nothing."""

import json
import logging
import types
import weakref

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.data.input_pipeline import Batch
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.loop import Flow, LoopSettings, train_on
from gim_tf.training.replicas import Replicas
from gim_tf.training.schedules import Phase


class NotTheChief(Replicas):
    is_chief = False


class Saved:
    """Checkpoints of nothing but the log's window."""

    def __init__(self, window=None):
        self.window = window or {}
        self.saved = {}

    def save(self, step, window):
        self.saved[step] = json.loads(json.dumps(window))


def train(step, phases, batches, *, checkpoints=None, start_step=0, **options):
    """Log lines every 4 steps, of `step`'s metrics."""
    stack = types.SimpleNamespace(module_names=(), gim_modules=())
    lines = []
    train_on(
        types.SimpleNamespace(stack=stack, compiled_step=step),
        Flow(batches, 1, Interrupts()),
        LoopSettings(phases, 4, 6, show_progress=False),
        checkpoints=checkpoints or Saved(),
        start_step=start_step,
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


def seventh(step):
    """Metrics of a step whose sums depend on their order in float32."""
    loss = tf.constant(np.float32(step) / 7)
    per_step = tf.constant(np.array([step, 1], np.float32) / 3)
    return {"loss": loss, "gradient_norm": loss, "per_step": per_step}


def training_from(start, end, window=None):
    """Lines and checkpoints of steps `start` + 1 to `end`."""
    numbers = iter(range(start + 1, end + 1))
    checkpoints = Saved(window)
    lines = train(
        lambda x, labels, trained: {"module_1": seventh(next(numbers))},
        [Phase(12, (True,))],
        (batch() for _ in range(start, end)),
        checkpoints=checkpoints,
        start_step=start,
    )
    return [(one["step"], one["module_1"]) for one in lines], checkpoints


def test_T1_a_run_that_went_on_logs_what_an_undisturbed_one_does():
    """It was saved after step 6, two steps after a line."""
    whole, checkpoints = training_from(0, 12)
    window = checkpoints.saved[6]
    assert window["module_1"]["steps"] == 2
    assert training_from(6, 12, window)[0] == whole[1:]
    forgotten, _ = training_from(6, 12)
    assert forgotten[0] != whole[1]
    assert forgotten[1:] == whole[2:]
    assert whole[2][1]["loss"] == pytest.approx((9 + 10 + 11 + 12) / 4 / 7)


@pytest.mark.parametrize(
    "window", [{"module_1": 3}, {"module_1": {"steps": 1}}, {"module_1": None}]
)
def test_a_damaged_window_is_passed_over(window, caplog):
    logging.getLogger("gim_tf").propagate = True
    found, _ = training_from(6, 12, window)
    assert found == training_from(6, 12)[0]
    assert "steps from here on" in caplog.text
