"""Held-out losses in TensorBoard, chart, table and report."""

import math
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from gim_tf.inspection import plots
from gim_tf.inspection.findings import findings
from gim_tf.inspection.report import ReportData, render
from gim_tf.inspection.summary_table import summarise_table
from gim_tf.training.summaries import ScalarWriter

HISTORY = [
    {
        "step": step,
        "examples_per_second": 1.0,
        "data_wait": 0.0,
        "module_1": {"loss": loss, "accuracy": 0.5, **held_out},
    }
    for step, loss, held_out in (
        (10, 2.0, {"heldout_loss": 2.1, "heldout_accuracy": 0.3}),
        (15, 1.9, {}),
        (20, 1.8, {"heldout_loss": 2.25, "heldout_accuracy": 0.25}),
    )
]
PRETRAIN = {
    "steps": 20,
    "modules": {
        "module_1": {
            **HISTORY[-1]["module_1"],
            "chance_loss": math.log(17),
        }
    },
}
STOPPED = {
    "module_1": {"step": 20, "kept_step": 10, "reason": "no better loss"}
}


def without_heldout(history):
    return [
        {
            **line,
            "module_1": {k: line["module_1"][k] for k in ("loss", "accuracy")},
        }
        for line in history
    ]


def test_tensorboard_draws_both_losses_on_one_chart(tmp_path):
    objective = SimpleNamespace(chance_loss=2.8, chance_accuracy=1 / 17)
    writer = ScalarWriter(tmp_path, {"module_1": objective})
    for line in HISTORY:
        writer.write(line)
    writer.close()
    found = {}
    for run in ("module_1", "module_1_heldout", "chance"):
        events = event_accumulator.EventAccumulator(str(tmp_path / run))
        events.Reload()
        found[run] = {
            event.step: float(tf.make_ndarray(event.tensor_proto))
            for event in events.Tensors("loss")
        }
    assert found["module_1"] == pytest.approx({10: 2.0, 15: 1.9, 20: 1.8})
    assert found["module_1_heldout"] == pytest.approx({10: 2.1, 20: 2.25})
    assert set(found["chance"]) == {10, 15, 20}


def test_without_held_out_examples_there_is_no_run_for_them(tmp_path):
    objective = SimpleNamespace(chance_loss=2.8, chance_accuracy=1 / 17)
    ScalarWriter(tmp_path, {"module_1": objective}).close()
    assert {p.name for p in tmp_path.iterdir()} == {"module_1", "chance"}


def test_the_chart_shows_them_where_they_are():
    chance = {"module_1": math.log(17)}
    drawn = plots.loss_curves(HISTORY, chance)
    assert drawn.startswith(b"\x89PNG")
    assert drawn != plots.loss_curves(without_heldout(HISTORY), chance)


def test_the_table_has_them_where_they_are():
    shown = summarise_table({"pretrain": PRETRAIN})
    assert "held-out loss" in shown
    assert "2.250" in shown
    assert "25.0 %" in shown
    (bare,) = without_heldout([HISTORY[-1]])
    modules = {"module_1": {**bare["module_1"], "chance_loss": 2.8}}
    shown = summarise_table({"pretrain": {**PRETRAIN, "modules": modules}})
    assert "held-out" not in shown


def test_the_report_tells_of_overfitting_and_of_stops():
    def texts(summary):
        return " ".join(f.text for f in findings(summary, HISTORY))

    over = texts({"pretrain": PRETRAIN})
    assert "Module 1 overfits" in over
    assert "lowest at step 10, 2.100, and ended at 2.250" in over
    stopped = texts({"pretrain": {**PRETRAIN, "stopped": STOPPED}})
    assert "stopped at step 20" in stopped
    assert "weights of step 10" in stopped
    assert "overfits" not in stopped
    page = render(ReportData(summary={"pretrain": PRETRAIN}, history=HISTORY))
    assert "<th>held-out loss</th>" in page
    assert "<td>2.250</td>" in page
    assert "never trained on" in page
