"""What each verb of `gim` does with its arguments.

TensorFlow is imported by the verbs that need it, TFX by `run` alone, Beam by
`run` and `embed`.
"""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gim_tf import config, experiments
from gim_tf.config import Experiment
from gim_tf.errors import (
    ConfigError,
    DataError,
    GoldenError,
    NotBlessedError,
)

_SETTINGS_FILE = "experiment.json"


def run(options: argparse.Namespace) -> None:
    """Runs the whole pipeline and prints its results."""
    experiment = _resolved(options)
    _writable(options.output_dir)
    _say("Loading TFX (about half a minute) ...")
    from pipelines import local_runner

    result = local_runner.run(
        experiment,
        str(options.output_dir),
        beam_args=tuple(shlex.split(options.beam_args)),
        enable_cache=not options.no_cache,
        resume=options.resume,
        report=_say,
    )
    summary = result.summary
    _print_results(summary)
    print(f"Pushed to:   {summary['pushed_to'] or '(nothing)'}")
    if not summary["blessed"]:
        raise NotBlessedError(
            "The encoder was not blessed and not pushed: "
            f"{' '.join(summary.get('reasons', []))}"
        )


def pretrain(options: argparse.Namespace) -> None:
    """Ingests if need be, and trains."""
    from gim_tf import jobs
    from gim_tf.data.corpus import read_corpus
    from gim_tf.data.records import record_files
    from gim_tf.training.run_directory import RunDirectory

    experiment = _resolved(options)
    directory = _writable(options.output_dir)
    run_directory = RunDirectory(directory)
    with run_directory.locked():
        _say(f"Reading {experiment.data.source} ...")
        facts = jobs.ingest(experiment, directory / "records")
        counts = (f"{split} {n}" for split, n in facts["counts"].items())
        _say(f"  {'  '.join(counts)}")
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
        )
        run_directory.write_json(_SETTINGS_FILE, config.to_dict(experiment))
    _say(f"Trained. Next: {_installed('gim')} probe --output-dir {directory}")


def export(options: argparse.Namespace) -> None:
    """Writes the trained encoder as a SavedModel."""
    from gim_tf import jobs

    directory = options.output_dir
    experiment = _recorded(directory)
    flac_dir = directory / "model_flac" if options.flac else None
    jobs.export(
        experiment,
        directory / "training",
        directory / "model",
        flac_dir=flac_dir,
    )
    print(directory / "model")
    if flac_dir:
        print(flac_dir)


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
    experiment = config.resolve(_recorded(directory), options.set)
    jobs.export(experiment, directory / "training", directory / "model")
    data, records = experiment.data, directory / "records"
    jobs.probe(
        experiment,
        directory / "model",
        record_files(records, data.train_split),
        record_files(records, data.test_split),
        directory / "probe",
        tensorboard_dir=directory / "tensorboard",
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
    _print_table(rows)


def embed(options: argparse.Namespace) -> None:
    """Writes the representations of files, folders and records."""
    if options.output.suffix == ".parquet":
        _embed_all(options)
        return
    from gim_tf import jobs

    for flag in ("split", "projector"):
        if getattr(options, flag) is not None:
            raise ConfigError(
                f"--{flag} goes with an output that ends in .parquet, "
                f"received {options.output}."
            )
    files = [Path(name) for name in options.source]
    count = jobs.embed(files, options.model, options.output)
    print(f"{count} embeddings in {options.output}")


def neighbors(options: argparse.Namespace) -> None:
    """Prints what is nearest to one item, and writes the page."""
    from gim_tf import jobs
    from gim_tf.inspection.neighbor_page import agreement, label_name

    found = jobs.neighbors(
        options.embeddings,
        options.query,
        module=options.module,
        k=options.k,
        model_dir=options.model,
        source=options.source,
        page=options.output,
    )
    names = found.class_names
    rows = [
        {
            "rank": rank,
            "cosine": f"{one.similarity:.4f}",
            "label": label_name(one.label, names) or "-",
            "split": one.split or "-",
            "id": one.id,
        }
        for rank, one in enumerate(found.result.found, start=1)
    ]
    _print_table(rows)
    same = agreement(found.query, found.result)
    if same is not None:
        print(
            f"\n{same[0]} of {len(rows)} have the query's label, "
            f"{label_name(found.query.label, names)}; of all "
            f"{found.result.size} it is {100 * same[1]:.1f} %."
        )
    if options.output is not None:
        print(f"Page: {options.output}")


def serve(options: argparse.Namespace) -> None:
    """Serves numbered versions until it is interrupted."""
    _say(
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
        report=_say,
    )


def serve_check(options: argparse.Namespace) -> None:
    """Prints one line a check; the first that fails ends it."""
    from serving.check import check

    for passed in check(options.directory):
        print(f"ok  {passed.name:<10}  {passed.found}", flush=True)


def import_weights(options: argparse.Namespace) -> None:
    """Loads weights; ingests too, if the data are at hand, for the probes."""
    from gim_tf import jobs
    from gim_tf.data.corpus import read_corpus
    from gim_tf.training.run_directory import RunDirectory

    experiment = _resolved(options)
    directory = _writable(options.output_dir)
    run_directory = RunDirectory(directory)
    # Without data there is still the encoder to export.
    source = experiment.data.source
    has_data = experiment.data.path or source.startswith("embedded")
    with run_directory.locked():
        jobs.import_weights(
            experiment,
            options.weights,
            directory / "training",
            records_dir=directory / "records" if has_data else None,
        )
        if has_data:
            experiment = config.completed(
                experiment, read_corpus(directory / "records")
            )
        run_directory.write_json(_SETTINGS_FILE, config.to_dict(experiment))
    verb = "probe" if has_data else "export"
    _say(f"Next: {_installed('gim')} {verb} --output-dir {directory}")
    if not has_data:
        _say("To probe them too, import them again with --data.")


def export_weights(options: argparse.Namespace) -> None:
    """Writes the trained weights under the authors' names."""
    from gim_tf import jobs

    directory = options.output_dir
    count = jobs.export_weights(
        _recorded(directory), directory / "training", options.output
    )
    print(f"{count} arrays in {options.output}")


def golden_check(options: argparse.Namespace) -> None:
    """Prints how near every array is, and fails where one is not."""
    from gim_tf import fidelity

    def progress(result: fidelity.CaseResult) -> None:
        verdict = "met" if result.passed else "NOT MET"
        _say(f"{result.name}: {verdict}")

    results = fidelity.check_directory(options.goldens, progress)
    print(fidelity.as_text(results))
    if options.json:
        print(fidelity.as_json(results))
    failed = [result.name for result in results if not result.passed]
    if failed:
        raise GoldenError(
            f"{len(failed)} of {len(results)} cases are not met: "
            f"{', '.join(failed)}."
        )


def _embed_all(options: argparse.Namespace) -> None:
    _say("Loading Beam (a few seconds) ...")
    from pipelines.embed import embed

    # The bar needs a total, which the job finds out.
    with tqdm(unit=" items", leave=False, delay=0.1) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        facts = embed(
            options.source,
            options.model,
            options.output,
            split=options.split,
            max_bad=options.max_bad,
            beam_args=shlex.split(options.beam_args),
            progress=progress,
        )
    print(f"{facts.count} embeddings in {options.output}")
    if facts.num_rejected:
        print(
            f"{facts.num_rejected} left out, listed in "
            f"{options.output}.rejected.jsonl"
        )
    if options.projector is not None:
        from gim_tf import jobs

        count = jobs.project(options.output, options.projector)
        logs = shlex.quote(str(options.projector))
        print(f"{count} of them in the projector of {options.projector}")
        print(f"TensorBoard: {_installed('tensorboard')} --logdir {logs}")


def _resolved(options: argparse.Namespace) -> Experiment:
    overrides = list(options.set)
    if options.data is not None:
        overrides.append(f"data.path={options.data!r}")
    for flag in ("resample", "downmix"):
        if getattr(options, flag):
            overrides.append(f"data.{flag}=true")
    if options.seed is not None:
        overrides.append(f"training.seed={options.seed}")
    return config.resolve(experiments.get(options.experiment), overrides)


def _recorded(directory: Path) -> Experiment:
    path = directory / _SETTINGS_FILE
    try:
        return config.from_dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{directory} holds no finished pretraining (no readable "
            f"{_SETTINGS_FILE}); run `gim pretrain` there first."
        ) from error


def _writable(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Cannot create {directory}: {error.strerror}."
        ) from error
    if not os.access(directory, os.W_OK):
        raise DataError(f"Cannot write in {directory}.")
    return directory


def _say(line: str) -> None:
    # Above the progress bar, if there is one.
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


def _print_results(summary: Mapping[str, Any]) -> None:
    from gim_tf.inspection.summary_table import summarise_table

    logs = shlex.quote(summary["tensorboard"])
    print(f"\n{summarise_table(summary)}\n")
    print(f"Report:      {summary['report']}")
    print(f"TensorBoard: {_installed('tensorboard')} --logdir {logs}")


def _installed(name: str) -> str:
    """A command of this environment, as it can be typed from here."""
    path = Path(sys.executable).with_name(name)
    below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if below else path))


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    header = list(rows[0])
    lines = [header, *([str(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (c.ljust(w) for c, w in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())
