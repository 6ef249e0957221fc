"""What the metadata store says about the last run of a pipeline."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

from gim_tf.errors import CheckpointError

_STATES = {
    mlmd.Execution.COMPLETE: "ran",
    mlmd.Execution.CACHED: "cached",
    mlmd.Execution.RUNNING: "running",
}
_WRITTEN = {mlmd.Event.OUTPUT, mlmd.Event.INTERNAL_OUTPUT}


@dataclass(frozen=True, kw_only=True)
class ComponentRun:
    """One component in one run.

    Attributes:
      component: its name.
      state: "ran", "cached", "failed" or "running".
      seconds: from start to end; next to nothing when cached.
      started: `time.time` of the start.
      peak_mib: largest resident memory in between; None if not sampled.
      inputs: artifacts read, each {"id", "type", "name", "uri"}.
      outputs: artifacts written, likewise.
    """

    component: str
    state: str
    seconds: float
    started: float
    peak_mib: float | None
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the report."""
        return asdict(self)

    def output(self, name: str) -> str:
        """Folder of the output artifact of that name."""
        return next(a["uri"] for a in self.outputs if a["name"] == name)


def check_store(path: Path) -> None:
    """Raises `CheckpointError` if the SQLite metadata store is damaged."""
    if not path.exists():
        return
    advice = (
        "Restore it from a copy, or move it away to start with an empty "
        "history (training resumes from its checkpoints)."
    )
    uri = f"{path.absolute().as_uri()}?mode=rw"  # quoted: # and ? are legal
    try:
        with sqlite3.connect(uri, uri=True) as store:
            (verdict,) = store.execute("PRAGMA quick_check(1)").fetchone()
            (tables,) = store.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'Execution'"
            ).fetchone()
        store.close()
    except sqlite3.Error as error:
        verdict, tables = str(error), 1
    if verdict != "ok" or not tables:
        reason = verdict.splitlines()[0] if verdict != "ok" else "it is empty"
        raise CheckpointError(
            f"The metadata store {path} cannot be read ({reason}). {advice}"
        )


def last_run(
    connection: mlmd.ConnectionConfig,
    peak: Callable[[float, float], float | None],
) -> dict[str, ComponentRun]:
    """The components of the newest run by name, in order of their start.

    Args:
      connection: to the metadata store.
      peak: gives the largest memory between two times.
    """
    store = metadata_store.MetadataStore(connection)
    runs = store.get_contexts_by_type("pipeline_run")
    if not runs:
        return {}
    newest = max(runs, key=lambda run: run.id)
    executions = store.get_executions_by_context(newest.id)
    types = {t.id: t.name for t in store.get_artifact_types()}
    found = {}
    for execution in sorted(executions, key=lambda one: one.id):
        name = _node_name(store, execution.id)
        found[name] = _component_run(store, execution, types, name, peak)
    return found


def seconds_to_make(
    connection: mlmd.ConnectionConfig, components: Mapping[str, ComponentRun]
) -> dict[str, float]:
    """Seconds of the executions that made the outputs, by component.

    Those of the run itself, and of earlier ones where it was cached.
    """
    store = metadata_store.MetadataStore(connection)
    seconds = {}
    for name, run in components.items():
        events = store.get_events_by_artifact_ids(
            [artifact["id"] for artifact in run.outputs]
        )
        makers = {e.execution_id for e in events if e.type in _WRITTEN}
        found = store.get_executions_by_id([min(makers)]) if makers else []
        seconds[name] = _seconds(found[0]) if found else run.seconds
    return seconds


def _component_run(
    store: metadata_store.MetadataStore,
    execution: mlmd.Execution,
    types: Mapping[int, str],
    name: str,
    peak: Callable[[float, float], float | None],
) -> ComponentRun:
    start = execution.create_time_since_epoch / 1000
    seconds = _seconds(execution)
    events = store.get_events_by_execution_ids([execution.id])
    artifacts = store.get_artifacts_by_id({e.artifact_id for e in events})
    by_id = {artifact.id: artifact for artifact in artifacts}

    def listed(kinds: set[int]) -> tuple[dict[str, Any], ...]:
        return tuple(
            {
                "id": event.artifact_id,
                "type": types[by_id[event.artifact_id].type_id],
                "name": event.path.steps[0].key,
                "uri": by_id[event.artifact_id].uri,
            }
            for event in events
            if event.type in kinds
        )

    return ComponentRun(
        component=name,
        state=_STATES.get(execution.last_known_state, "failed"),
        seconds=seconds,
        started=start,
        peak_mib=peak(start, start + seconds),
        inputs=listed({mlmd.Event.INPUT, mlmd.Event.INTERNAL_INPUT}),
        outputs=listed(_WRITTEN),
    )


def _seconds(execution: mlmd.Execution) -> float:
    start = execution.create_time_since_epoch
    return (execution.last_update_time_since_epoch - start) / 1000


def _node_name(store: metadata_store.MetadataStore, execution: int) -> str:
    contexts = store.get_contexts_by_execution(execution)
    node = next((c.name for c in contexts if c.type == "node"), "?")
    return node.rpartition(".")[2]
