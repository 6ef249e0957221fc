"""Runs the pipeline on this machine, with an SQLite metadata store.

`gim run` starts it; run as a script, it is for TFX's own command, see
`tfx_command`. Everything lands below one output directory:

    config.json, summary.json, report.html    of the last run that finished
    evaluation.json, pipeline.log
    embeddings.parquet/    of all records, where they were asked for
    pipeline/      artifacts          metadata.sqlite   their lineage
    training/      checkpoints        tensorboard/      logs
    serving/<experiment>/<version>    pushed models
"""

import json
import logging
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
from gim_tf.errors import CheckpointError, GimError
from gim_tf.training.run_directory import RunDirectory
from pipelines import evaluation, lineage, predictions
from pipelines.lineage import ComponentRun
from pipelines.observe import (
    FILE_LOG,
    MemorySampler,
    Progress,
    Report,
    logs_to,
)
from pipelines.pipeline import create_pipeline
from pipelines.plain_errors import plain_errors
from pipelines.record_schema import write_schema
from pipelines.settings import Options, Places, training_run

_LOG = logging.getLogger(__name__)
_METADATA = "metadata.sqlite"
_LOG_FILE = "pipeline.log"


@dataclass(frozen=True, kw_only=True)
class LocalResult:
    """What a run left behind.

    Attributes:
      output_dir: the output directory.
      summary: content of summary.json; empty after a partial run that did
        not reach the report.
      components: each component's state, time and memory, in order.
      embeddings: the table of all records; None where `bulk_infer` was not
        asked for, or the model not blessed.
    """

    output_dir: Path
    summary: dict[str, Any]
    components: tuple[ComponentRun, ...]
    embeddings: Path | None = None

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
    with (
        plain_errors(directory),
        RunDirectory(directory).locked(),
        logs_to(directory / _LOG_FILE, Progress(report)),
    ):
        return _run_locked(experiment, directory, Options(**options), to_nodes)


def _run_locked(
    experiment: config.Experiment,
    directory: Path,
    options: Options,
    to_nodes: Sequence[str],
) -> LocalResult:
    FILE_LOG.info("Settings: %s", json.dumps(config.to_dict(experiment)))
    lineage.check_store(directory / _METADATA)
    fingerprint = open_source(experiment.data).fingerprint()
    run_name = training_run(experiment, fingerprint)
    places, metadata = _places(experiment, directory)
    if options.resume == "never":
        _check_fresh(Path(places.training_dir, run_name))
    with MemorySampler() as memory:
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
        _check_complete(components, directory / _LOG_FILE)
        logs = f"{places.tensorboard_dir}/{run_name}"
        summary = _finish(experiment, directory, components, logs)
        table = _write_embeddings(directory, components, summary)
    return LocalResult(
        output_dir=directory,
        summary=summary,
        components=tuple(components.values()),
        embeddings=table,
    )


def assemble(
    experiment: config.Experiment, output_dir: str | Path
) -> tfx.dsl.Pipeline:
    """The pipeline that `run` runs; only its schema is written.

    Args:
      experiment: what it would run.
      output_dir: see `run`.

    Raises:
      GimError: what a user can mend, such as data that are not there.
    """
    places, metadata = _places(experiment, Path(output_dir).absolute())
    return create_pipeline(
        experiment,
        places,
        data_fingerprint=open_source(experiment.data).fingerprint(),
        metadata_config=metadata,
    )


def _places(
    experiment: config.Experiment, directory: Path
) -> tuple[Places, Any]:
    """Where the components write, and the connection to the metadata store."""
    places = Places.under(
        str(directory),
        name=experiment.name,
        schema_file=write_schema(experiment.data, f"{directory}/schema"),
    )
    connect = tfx.orchestration.metadata.sqlite_metadata_connection_config
    return places, connect(str(directory / _METADATA))


def _finish(
    experiment: config.Experiment,
    directory: Path,
    components: dict[str, ComponentRun],
    tensorboard_dir: str,
) -> dict[str, Any]:
    """Writes the report again, now that times and lineage are known.

    `config.json` comes with it and not before, so that results never stand
    beside settings that they were not reached with.
    """
    if "Report" not in components:
        return {}
    data = Path(components["DataGate"].output("report"), "data.json")
    experiment = config.completed(
        experiment, json.loads(data.read_text())["corpus"]
    )
    by_class = None
    if "Evaluator" in components:
        by_class = str(directory / evaluation.NAME)
        evaluation.write_evaluation(
            components["Evaluator"].output("evaluation"),
            experiment.data.class_names,
            by_class,
        )
    text = config.to_json(experiment)
    (directory / "config.json").write_text(text, encoding="utf-8")
    return jobs.write_report(
        experiment,
        jobs.Sources(
            data=str(data),
            training=components["Trainer"].output("model_run"),
            probes=components["LinearProbe"].output("report"),
            tensorboard=tensorboard_dir,
            blessing=components["Bless"].output("blessing"),
            pushed=_pushed(components["Push"].output("pushed")),
            evaluation=by_class,
        ),
        directory,
        execution=[run.as_dict() for run in components.values()],
    )


def _write_embeddings(
    directory: Path,
    components: dict[str, ComponentRun],
    summary: dict[str, Any],
) -> Path | None:
    """The table of what was inferred; an older one stays where nothing was."""
    if "BulkInferrer" not in components or not summary.get("blessed"):
        return None
    table = directory / "embeddings.parquet"
    predictions.write_embeddings(
        components["BulkInferrer"].output("output_examples"),
        table,
        records=components["RecordGen"].output("examples"),
        model_dir=path_utils.serving_model_path(
            components["LinearProbe"].output("probed")
        ),
    )
    return table


def _check_fresh(run_dir: Path) -> None:
    if list(run_dir.glob("ckpt-*.index")):
        raise CheckpointError(
            f"{run_dir} already holds checkpoints, and resume is 'never'; "
            "choose another directory."
        )


def _check_complete(components: dict[str, ComponentRun], log: Path) -> None:
    """TFX logs a component whose inputs are missing, and goes on."""
    for run in components.values():
        if run.state not in ("ran", "cached"):
            raise GimError(
                f"Component {run.component} ended as {run.state}; see {log}, "
                "and run again."
            )


def _pushed(artifact: str) -> str | None:
    """The artifact's folder, unless somebody removed the version since.

    Removing the newest version is how a server is rolled back, so a cached
    push is not repeated.
    """
    record = Path(artifact) / "pushed.json"
    pushed_to = json.loads(record.read_text())["pushed_to"]
    if pushed_to and not os.path.exists(pushed_to):
        _LOG.warning(
            "%s was removed since it was pushed; --no-cache pushes again.",
            pushed_to,
        )
        return None
    return artifact


if __name__ == "__main__":
    from pipelines.tfx_command import main

    main()
