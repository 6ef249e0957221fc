"""A pipeline in a process of its own: a second one beside it, and its end.

One process serves both tests: it waits in its Trainer while another pipeline
is started on its directory, and is killed there afterwards.
"""

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from gim_tf import config
from gim_tf.errors import CheckpointError
from tests.pipelines.conftest import DECIDING, LEARNING, ran, run

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[2]
SECONDS = 300
OUTPUTS = ("OUTPUT", "INTERNAL_OUTPUT", "DECLARED_OUTPUT", "PENDING_OUTPUT")
# Waits at step 2 until it is told to go on, and is killed at step 4.
KILLED_RUN = f"""
import json, os, signal, sys, time
from gim_tf import config
from pipelines import local_runner

def watch(line):
    print(line, flush=True)
    if "step 2/6" in line:
        end = time.monotonic() + {SECONDS}
        while not os.path.exists(sys.argv[3]) and time.monotonic() < end:
            time.sleep(0.02)
    if "step 4/6" in line:
        os.kill(os.getpid(), signal.SIGKILL)

experiment = config.from_dict(json.load(open(sys.argv[1])))
local_runner.run(experiment, sys.argv[2], report=watch)
"""


class Interrupted(NamedTuple):
    """What became of the first process, and of a second pipeline meanwhile."""

    directory: Path
    process: int
    returncode: int
    errors: str
    refused: CheckpointError
    before: dict
    after: dict


@pytest.fixture(scope="module")
def interrupted(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    settings, go_on = folder / "settings.json", folder / "go_on"
    settings.write_text(config.to_json(small))
    directory, output = folder / "run", folder / "output"
    with output.open("w") as lines, (folder / "errors").open("w") as errors:
        first = subprocess.Popen(
            [sys.executable, "-c", KILLED_RUN, settings, directory, go_on],
            cwd=ROOT,
            stdout=lines,
            stderr=errors,
        )
    try:
        end = time.monotonic() + SECONDS
        while "step 2/6" not in output.read_text():
            assert first.poll() is None, (folder / "errors").read_text()[-2000:]
            assert time.monotonic() < end, "it does not train"
            time.sleep(0.05)
        before = rows(directory)
        with pytest.raises(CheckpointError) as refused:
            run(small, directory)
        after = rows(directory)
        assert first.poll() is None
        go_on.touch()
        first.wait(SECONDS)
    finally:
        first.kill()
        first.wait()
    return Interrupted(
        directory=directory,
        process=first.pid,
        returncode=first.returncode,
        errors=(folder / "errors").read_text(),
        refused=refused.value,
        before=before,
        after=after,
    )


def rows(directory):
    """Everything that the metadata store holds, by table."""
    path = f"file:{directory / 'metadata.sqlite'}?mode=ro"
    with closing(sqlite3.connect(path, uri=True)) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = store.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        return {
            name: store.execute(f"SELECT * FROM {name}").fetchall()
            for (name,) in names
        }


def test_P3_a_second_pipeline_is_refused_while_one_runs(interrupted, injected):
    """And changes nothing in the store, in which the first then goes on."""
    message = str(interrupted.refused)
    assert f"in use by process {interrupted.process};" in message
    assert "\n" not in message
    before, after = interrupted.before, interrupted.after
    assert len(before["Execution"]) > 5
    assert before.keys() == after.keys()
    # It trained on: the kill is at a later step.
    assert interrupted.returncode == -signal.SIGKILL, interrupted.errors[-2000:]
    injected(1, [name for name in before if before[name] != after[name]])


class Store:
    """The executions of a metadata store, with what they read and wrote."""

    def __init__(self, directory):
        from ml_metadata import metadata_store
        from ml_metadata.proto import metadata_store_pb2 as mlmd
        from tfx import v1 as tfx

        connect = tfx.orchestration.metadata.sqlite_metadata_connection_config
        path = str(directory / "metadata.sqlite")
        self.store = metadata_store.MetadataStore(connect(path))
        self.state = mlmd.Execution.State.Name
        self.artifact_state = mlmd.Artifact.State.Name
        self.event = mlmd.Event.Type.Name

    def states(self, component):
        """Ids and states of the executions of a component, oldest first."""
        return {
            execution.id: self.state(execution.last_known_state)
            for execution in self.store.get_executions()
            if component in self.nodes(execution.id)
        }

    def ids(self):
        return [one.id for one in self.store.get_executions()]

    def read(self):
        """Ids and states of the artifacts that any execution has read."""
        found = [self.artifacts(one, "INPUT") for one in self.ids()]
        return {k: state for one in found for k, state in one.items()}

    def nodes(self, execution):
        contexts = self.store.get_contexts_by_execution(execution)
        return [c.name.rpartition(".")[2] for c in contexts if c.type == "node"]

    def unfinished(self):
        return {
            execution.id
            for execution in self.store.get_executions()
            if self.state(execution.last_known_state)
            not in ("COMPLETE", "CACHED")
        }

    def artifacts(self, execution, *kinds):
        """Ids and states of the artifacts of its events of some kinds."""
        events = self.store.get_events_by_execution_ids([execution])
        ids = [e.artifact_id for e in events if self.event(e.type) in kinds]
        found = self.store.get_artifacts_by_id(ids)
        return {one.id: self.artifact_state(one.state) for one in found}


def test_P2_a_run_killed_in_training_resumes(interrupted, small, injected):
    assert interrupted.returncode == -signal.SIGKILL, interrupted.errors[-2000:]
    directory = interrupted.directory
    lines = []
    result = run(small, directory, report=lines.append)
    assert "  Resuming after step 2." in lines
    assert not any("step 2/6" in line for line in lines)
    assert result.summary["pretrain"]["steps"] == 6
    assert ran(result) == LEARNING | DECIDING
    again = run(small, directory)
    assert ran(again) == set()

    store = Store(directory)
    trainings = store.states("Trainer")
    # TFX never ends what was killed, and never takes anything of it.
    assert list(trainings.values()) == ["RUNNING", "COMPLETE", "CACHED"]
    killed, resumed, cached = sorted(trainings)
    assert store.unfinished() == {killed}
    assert store.artifacts(killed, *OUTPUTS) == {}
    made = store.artifacts(resumed, "OUTPUT")
    assert list(made.values()) == ["LIVE", "LIVE"]
    assert store.artifacts(cached, "OUTPUT") == made
    read = store.read()
    assert made.keys() & read.keys()
    written = [store.artifacts(one, *OUTPUTS) for one in store.ids()]
    injected(
        1,
        [
            artifact
            for artifact, state in read.items()
            if state != "LIVE" or not any(artifact in one for one in written)
        ],
    )
