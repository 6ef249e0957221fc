"""What each verb of `gim` does with its arguments.

TensorFlow is imported by the verbs that need it, TFX by `run` alone.
"""

import argparse
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gim_tf import config, experiments
from gim_tf.cli import clouding, decoupling, parallel
from gim_tf.cli.printing import installed, print_table, say
from gim_tf.cli.shared import resolved
from gim_tf.config import Experiment
from gim_tf.errors import (
    ConfigError,
    DataError,
    NotBlessedError,
)
from gim_tf.paths import Place, local_path

SETTINGS_FILE = "experiment.json"


def run(options: argparse.Namespace) -> None:
    """Runs the whole pipeline and prints its results."""
    if options.runner == "vertex":
        clouding.run_vertex(options)
        return
    clouding.refuse_vertex_options(options)
    from pipelines.settings import check_bulk_infer

    experiment = resolved(options)
    if options.bulk_infer:
        check_bulk_infer(experiment)
    writable(options.output_dir)
    say("Loading TFX (about half a minute) ...")
    from pipelines import local_runner

    result = local_runner.run(
        experiment,
        str(options.output_dir),
        beam_args=tuple(shlex.split(options.beam_args)),
        enable_cache=not options.no_cache,
        resume=options.resume,
        bulk_infer=options.bulk_infer,
        report=say,
    )
    summary = result.summary
    _print_results(summary)
    print(f"Pushed to:   {summary['pushed_to'] or '(nothing)'}")
    if options.bulk_infer:
        print(f"Embeddings:  {result.embeddings or '(nothing)'}")
    if not summary["blessed"]:
        raise NotBlessedError(
            "The encoder was not blessed and not pushed: "
            f"{' '.join(summary.get('reasons', []))}"
        )


def pretrain(options: argparse.Namespace) -> None:
    """Ingests if need be, and trains."""
    experiment = resolved(options)
    place = parallel.connect(experiment, options)
    from gim_tf import jobs
    from gim_tf.data.corpus import read_corpus
    from gim_tf.data.records import record_files
    from gim_tf.training.run_directory import RunDirectory

    workers, task = decoupling.workers(options, experiment)
    directory = place.directory
    writable(directory)
    if workers is not None and task:
        decoupling.join(workers, task, local_path(directory) / "training")
        return
    run_directory = RunDirectory(directory)
    with run_directory.locked():
        say(f"Reading {experiment.data.source} ...")
        facts = jobs.ingest(experiment, directory / "records")
        counts = (f"{split} {n}" for split, n in facts["counts"].items())
        say(f"  {'  '.join(counts)}")
        experiment = config.completed(
            experiment, read_corpus(directory / "records")
        )
        jobs.pretrain(
            experiment,
            record_files(directory / "records", experiment.data.pretrain_split),
            directory / "training",
            tensorboard_dir=directory / "tensorboard",
            resume=options.resume,
            data_fingerprint=facts["fingerprint"],
            workers=workers,
            replicas=place.replicas,
        )
        if not place.is_chief:
            say("Trained. The chief has the run.")
            return
        run_directory.write_json(SETTINGS_FILE, config.to_dict(experiment))
    say(f"Trained. Next: {installed('gim')} probe --output-dir {directory}")


def export(options: argparse.Namespace) -> None:
    """Writes the trained encoder as a SavedModel."""
    from gim_tf import jobs

    directory = options.output_dir
    experiment = recorded(directory)
    jobs.export(experiment, directory / "training", directory / "model")
    print(directory / "model")
    if options.flac:
        jobs.export_flac(directory / "model", directory / "model_flac")
        print(directory / "model_flac")


def probe(options: argparse.Namespace) -> None:
    """Exports the encoder, probes it and writes the report."""
    from gim_tf import jobs
    from gim_tf.data.records import record_files

    directory = options.output_dir.absolute()
    foreign = [s for s in options.set if not s.startswith("probe.")]
    if foreign:
        raise ConfigError(
            f"`gim probe` takes settings of the probe, such as probe.epochs; "
            f"received {foreign[0]!r}, which pretraining has decided."
        )
    experiment = config.resolve(recorded(directory), options.set)
    jobs.export(experiment, directory / "training", directory / "model")
    data, records = experiment.data, directory / "records"
    jobs.probe(
        experiment,
        directory / "model",
        record_files(records, data.train_split),
        record_files(records, data.test_split),
        directory / "probe",
        tensorboard_dir=directory / "tensorboard",
        controls_dir=options.controls,
    )
    sources = jobs.Sources(
        data=str(records / "ingest.json"),
        training=str(directory / "training"),
        probes=str(directory / "probe"),
        tensorboard=str(directory / "tensorboard"),
    )
    _print_results(jobs.write_report(experiment, sources, directory))


def report(options: argparse.Namespace) -> None:
    """Writes the report again and prints the table."""
    from gim_tf import jobs

    _print_results(jobs.report(options.output_dir.absolute()))


def list_experiments(options: argparse.Namespace) -> None:
    """Prints the experiments."""
    found = [experiments.get(name) for name in experiments.names()]
    rows = [
        {
            "name": e.name,
            "data": e.data.source,
            "modules": e.stack.num_modules,
            "cost": e.cost,
            "paper row": e.paper,
        }
        for e in found
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print_table(rows)


def serve(options: argparse.Namespace) -> None:
    """Serves numbered versions until it is interrupted."""
    say(
        "gim serve is for development and tests; in production run TF Serving "
        "(serving/README.md)."
    )
    try:
        from serving import local_server
    except ImportError as error:
        raise ConfigError(
            f"gim serve needs {error.name}, which is not installed; install "
            "gim_tf[serving]."
        ) from error

    local_server.serve(
        options.directory,
        options.name,
        addresses=local_server.Addresses(
            options.host, options.rest_port, options.grpc_port
        ),
        limits=local_server.Limits(
            body_bytes=int(options.max_body_mb * 1e6), batch=options.max_batch
        ),
        poll_seconds=options.poll_seconds,
        report=say,
    )


def serve_check(options: argparse.Namespace) -> None:
    """Prints one line a check; the first that fails ends it."""
    from serving.check import check

    for passed in check(options.directory):
        print(f"ok  {passed.name:<10}  {passed.found}", flush=True)


def recorded(directory: Place) -> Experiment:
    """The experiment that was pretrained in a directory."""
    path = directory / SETTINGS_FILE
    try:
        return config.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{directory} holds no finished pretraining (no readable "
            f"{SETTINGS_FILE}); run `gim pretrain` there first."
        ) from error


def writable(directory: Place) -> None:
    """Makes the directory if it is missing; `DataError` if it must not."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Cannot create {directory}: {error.strerror}."
        ) from error
    if isinstance(directory, Path) and not os.access(directory, os.W_OK):
        raise DataError(f"Cannot write in {directory}.")


def _print_results(summary: Mapping[str, Any]) -> None:
    from gim_tf.inspection.summary_table import summarise_table

    logs = shlex.quote(summary["tensorboard"])
    print(f"\n{summarise_table(summary)}\n")
    print(f"Report:      {summary['report']}")
    print(f"TensorBoard: {installed('tensorboard')} --logdir {logs}")
