"""Runs the pipeline on this machine, with an SQLite metadata store.

Everything lands below one output directory:

    config.json, summary.json, report.html, pipeline.log
    pipeline/      artifacts          metadata.sqlite   their lineage
    training/      checkpoints        tensorboard/      logs
    serving/<experiment>/<version>    pushed models
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx import v1 as tfx
from tfx.orchestration.pipeline import RunOptions
from tfx.utils import path_utils

from gim_tf import config, jobs
from gim_tf.data.sources import open_source
from gim_tf.training.run_directory import RunDirectory
from pipelines import lineage, pusher
from pipelines.lineage import ComponentRun
from pipelines.observe import MemorySampler, Progress, Report, logs_to
from pipelines.pipeline import create_pipeline
from pipelines.plain_errors import plain_errors
from pipelines.record_schema import write_schema
from pipelines.settings import Options, Places, training_run

_METADATA = "metadata.sqlite"


@dataclass(frozen=True, kw_only=True)
class LocalResult:
    """What a run left behind.

    Attributes:
      output_dir: the output directory.
      summary: content of summary.json; empty after a partial run that did
        not reach the report.
      components: each component's state, time and memory, in order.
    """

    output_dir: Path
    summary: dict[str, Any]
    components: tuple[ComponentRun, ...]

    @property
    def blessed(self) -> bool:
        """Whether the encoder passed the quality gate."""
        return bool(self.summary.get("blessed"))

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence a condition of the quality gate."""
        return tuple(self.summary.get("reasons", ()))


def run(
    experiment: config.Experiment,
    output_dir: str | Path,
    *,
    to_nodes: Sequence[str] = (),
    report: Report = lambda line: None,
    **options: Any,
) -> LocalResult:
    """Runs the pipeline and writes the final summary and report.

    A model that is not blessed is a result, not an error.

    Args:
      experiment: what to run.
      output_dir: made if missing; one run at a time.
      to_nodes: last components to run, all if empty.
      report: receives a line as each component starts and ends.
      options: fields of `pipelines.settings.Options`, such as
        `enable_cache=False`.

    Raises:
      GimError: what a user can mend, in one line. `pipeline.log` in the
        output directory has the details.
    """
    directory = Path(output_dir).absolute()
    with plain_errors(directory), RunDirectory(directory).locked():
        return _run_locked(
            experiment,
            directory,
            Options(**options),
            to_nodes,
            report,
        )


def _run_locked(
    experiment: config.Experiment,
    directory: Path,
    options: Options,
    to_nodes: Sequence[str],
    report: Report,
) -> LocalResult:
    lineage.check_store(directory / _METADATA)
    fingerprint = open_source(experiment.data).fingerprint()
    (directory / "config.json").write_text(config.to_json(experiment))
    places = Places.under(
        str(directory),
        name=experiment.name,
        schema_file=write_schema(experiment.data, f"{directory}/schema"),
    )
    metadata = tfx.orchestration.metadata.sqlite_metadata_connection_config(
        str(directory / _METADATA)
    )
    log = directory / "pipeline.log"
    with MemorySampler() as memory, logs_to(log, Progress(report)):
        pipeline = create_pipeline(
            experiment,
            places,
            data_fingerprint=fingerprint,
            options=options,
            metadata_config=metadata,
        )
        tfx.orchestration.LocalDagRunner().run(
            pipeline,
            run_options=RunOptions(to_nodes=list(to_nodes))
            if to_nodes
            else None,
        )
        components = lineage.last_run(metadata, memory.peak)
        _check_complete(components)
        logs = f"{places.tensorboard_dir}/"
        logs += training_run(experiment, fingerprint)
        summary = _finish(experiment, directory, places, components, logs)
    return LocalResult(
        output_dir=directory,
        summary=summary,
        components=tuple(components.values()),
    )


def _finish(
    experiment: config.Experiment,
    directory: Path,
    places: Places,
    components: dict[str, ComponentRun],
    tensorboard_dir: str,
) -> dict[str, Any]:
    """Writes the report again, now that times and lineage are known."""
    if "Report" not in components:
        return {}
    _restore_push(components, places)
    return jobs.write_report(
        experiment,
        jobs.Sources(
            data=f"{components['DataGate'].output('report')}/data.json",
            training=components["Trainer"].output("model_run"),
            probes=components["LinearProbe"].output("report"),
            tensorboard=tensorboard_dir,
            blessing=components["Bless"].output("blessing"),
            pushed=components["Push"].output("pushed"),
        ),
        directory,
        execution=[run.as_dict() for run in components.values()],
    )


def _check_complete(components: dict[str, ComponentRun]) -> None:
    """TFX logs a component whose inputs are missing, and goes on."""
    for run in components.values():
        if run.state not in ("ran", "cached"):
            raise RuntimeError(
                f"Component {run.component} {run.state}; see pipeline.log."
            )


def _restore_push(components: dict[str, ComponentRun], places: Places) -> None:
    """Pushes again what a cached Push pushed and somebody removed since."""
    record = Path(components["Push"].output("pushed")) / "pushed.json"
    pushed_to = json.loads(record.read_text())["pushed_to"]
    if pushed_to and not os.path.exists(pushed_to):
        model = components["LinearProbe"].output("probed")
        again = pusher.push(
            path_utils.serving_model_path(model), places.serving_dir
        )
        record.write_text(json.dumps({"pushed_to": again}))
