"""`gim bench data` and `probe`: each part is there, and adds up."""

import json
import subprocess
import sys

import pytest

from gim_tf.cli import main
from gim_tf.data.records import record_files
from tests.conftest import TINY, TINY_SEQUENCE

pytestmark = pytest.mark.integration

SEQUENCE = (
    *TINY_SEQUENCE,
    "stack.objective.skip_steps=0",
    "probe.speaker.epochs=1",
    "probe.phone.epochs=1",
)


def bench(name, experiment, overrides, *more):
    """The line for machines, of a process of its own: it sets threads."""
    options = [f"--set={override}" for override in overrides]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "gim_tf.cli", "bench", name, "--json"),
            *("--experiment", experiment, "--threads", "1", *options, *more),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return json.loads(line)


def test_the_input_is_timed_alone_and_in_the_loop(tmp_path):
    arguments = ("--steps", "2", "--output-dir", str(tmp_path))
    found = bench("data", "fashion_mnist_gim", TINY, *arguments)
    assert found["bench"] == "data"
    assert found["threads"] == 1
    assert found["steps_per_epoch"] == 10_000 // 8
    assert 0 <= found["data_wait"] <= 1
    assert found["batch_ms"] > 0
    step_s = found["step_ms"] / 1000
    assert found["loop_examples_per_second"] * step_s == pytest.approx(8)
    assert record_files(tmp_path / "records", "train")


def test_each_task_of_sequences_has_features_and_heads(tmp_path):
    found = bench("probe", "flite_gim", SEQUENCE)
    parts = [(part["part"], part["module"]) for part in found["parts"]]
    names = [f"module_{depth}" for depth in range(1, 7)]
    assert parts == [
        (f"{task}: {part}", name)
        for task in ("phone", "speaker")
        for part, several in (("features", [None]), ("heads", names))
        for name in several
    ]
    total = sum(part["seconds"] for part in found["parts"])
    assert found["seconds"] == pytest.approx(total)


def test_each_module_of_examples_has_its_heads(tiny, tiny_records):
    from gim_tf.bench.probe import _of_examples

    files = (record_files(tiny_records, name) for name in ("train", "test"))
    parts = _of_examples(tiny, *files)
    heads = ("linear", "linear, grid", "kNN")
    assert [(part.part, part.module) for part in parts] == [
        ("features", None),
        *((head, f"module_{depth}") for depth in (1, 2, 3) for head in heads),
    ]
    assert {part.examples for part in parts} == {60}


def test_a_directory_without_a_run_is_named(tmp_path, capsys):
    assert main(["bench", "pipeline", "--output-dir", str(tmp_path)]) == 2
    assert "holds no run of the pipeline" in capsys.readouterr().err
