"""The children of a study: stopped together, and heard when they fail."""

import sys
import types

import pytest

from gim_tf import experiments, studies
from gim_tf.errors import InterruptedRunError
from gim_tf.studies import processes, running
from gim_tf.studies.planning import Request, plan_runs
from gim_tf.studies.processes import Child
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.run_directory import RunDirectory

pytestmark = pytest.mark.integration

# Ends at SIGTERM, but not before the other one was told to as well.
TOGETHER = """
import pathlib, signal, sys, time
own, other = map(pathlib.Path, sys.argv[1:])
def end(number, frame):
    own.with_suffix(".told").touch()
    while not other.with_suffix(".told").exists():
        time.sleep(0.01)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
own.touch()
while True:
    time.sleep(0.01)
"""


class Silent:
    """Is told how it goes; keeps what failed."""

    def __init__(self):
        self.failed = []

    def started(self, label, steps):
        pass

    def at(self, label, stage, step):
        pass

    def ended(self, label, failure):
        if failure is not None:
            self.failed.append(label)


def python(code, *arguments):
    return [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)]


def job(label, command, log, **more):
    stage = running._Stage("bench", command, log, **more)
    return running._Job(label, [stage])


def test_children_are_asked_to_end_all_at_once(tmp_path, monkeypatch):
    """One after the other, the last would train on while the first saves."""
    monkeypatch.setattr(processes, "_PATIENCE", 20.0)
    one, other = tmp_path / "one", tmp_path / "other"
    interrupts = Interrupts()

    class Told(Silent):
        def at(self, label, stage, step):
            if one.exists() and other.exists():
                interrupts.received = 15

    pool = running._Pool(interrupts, Told(), {})
    jobs = [
        job(a.name, python(TOGETHER, a, b), tmp_path / "log")
        for a, b in ((one, other), (other, one))
    ]
    with pytest.raises(InterruptedRunError):
        pool.go(jobs, 2)
    assert [j.child.code() for j in jobs] == [143, 143]


def test_a_run_that_is_busy_keeps_nobody_waiting(tmp_path):
    """As after `kill -9` of a study, while its children save."""
    asked = Request(
        study=studies.get("ablations"),
        systems=("gim",),
        seeds=(0,),
        directory=tmp_path,
    )
    (run,) = plan_runs(asked)
    interrupts = Interrupts()

    class Told(Silent):
        def ended(self, label, failure):
            interrupts.received = 15

    pool = running._Pool(interrupts, Told(), {})
    busy = running._of_run(run, {}, tmp_path)
    with (
        RunDirectory(run.directory).locked(),
        pytest.raises(InterruptedRunError),
    ):
        pool.go([busy, job("other", python(""), tmp_path / "log")], 2)
    assert busy.child is None
    assert not pool.failures


def test_a_result_that_cannot_be_kept_is_one_failure(tmp_path):
    """Such as a full disk, or no result; the others go on."""

    def keep(child):
        raise OSError("No space left on device")

    kept, progress = [], Silent()
    pool = running._Pool(Interrupts(), progress, {})
    pool.go(
        [
            job("full", python(""), tmp_path / "full.log", after=keep),
            job("whole", python(""), tmp_path / "log", after=kept.append),
        ],
        1,
    )
    assert progress.failed == ["full"]
    assert [f.line for f in pool.failures] == ["No space left on device"]
    assert len(kept) == 1


def test_a_measurement_without_a_result_is_a_failure(tmp_path):
    bench = types.SimpleNamespace(
        label="bench",
        experiment=experiments.get("fashion_mnist_gim"),
        path=tmp_path / "bench.json",
        command=lambda: python("print('nothing')"),
    )
    pool = running._Pool(Interrupts(), Silent(), {})
    pool.go([running._of_bench(bench)], 1)
    ((label, line, _),) = pool.failures
    assert label == "bench"
    assert "wrote no result" in line


def test_the_error_is_told_and_not_what_comes_behind_it(tmp_path):
    """TensorFlow may write when a process ends."""
    code = "print('gim: error: no data'); print('noise'); raise SystemExit(3)"
    child = Child(python(code), tmp_path / "log", {})
    child.process.wait()
    assert child.last_line() == "gim: error: no data"


def test_a_child_that_reads_nothing_ends_by_its_own_code(tmp_path):
    child = Child(
        python("raise SystemExit(3)"), tmp_path / "log", {}, "x" * 10**6
    )
    child.process.wait()
    assert child.code() == 3
