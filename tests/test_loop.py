"""The training loop on a step that computes nothing."""

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
            yield Batch(tf.zeros((1, 1)), tf.zeros((1,), tf.int64))

    train_on(
        types.SimpleNamespace(stack=None, compiled_step=step),
        Flow(batches(), 1, Interrupts()),
        LoopSettings([Phase(40, (True,))], 4, 100, show_progress=False),
        checkpoints=None,
        start_step=0,
        on_log=lambda line: None,
        replicas=NotTheChief(),
    )
    assert len(arrays) == 80
    # Two a step, of the steps since the last log line.
    assert max(kept) <= 2 * 4
