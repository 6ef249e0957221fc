"""The `gim` command: one verb a job, each with its own help and examples.

TensorFlow is imported by the verbs that need it, TFX by `run` alone, so that
help and listings answer at once.
"""

import argparse
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gim_tf import __version__, config, experiments
from gim_tf.config import Experiment
from gim_tf.errors import DataError, GimError, NotBlessedError

_SETTINGS_FILE = "experiment.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code.

    0: done. 2: a mistake that the message explains. 3: the run finished but
    its encoder was not blessed. 128 + n: ended by signal n, saved.
    """
    options = _parser().parse_args(arguments)
    _quieten()
    try:
        options.verb(options)
    except GimError as error:
        print(f"gim: error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def _run(options: argparse.Namespace) -> None:
    experiment = _resolved(options)
    _writable(options.output_dir)
    _say("Loading TFX (about half a minute) ...")
    from gim_tf.inspection.summary_table import summarise_table
    from pipelines import local_runner

    result = local_runner.run(
        experiment,
        str(options.output_dir),
        beam_args=tuple(options.beam_args.split()),
        enable_cache=not options.no_cache,
        resume=options.resume,
        report=_say,
    )
    summary = result.summary
    print(f"\n{summarise_table(summary)}\n")
    print(f"Report:      {summary['report']}")
    print(f"TensorBoard: tensorboard --logdir {summary['tensorboard']}")
    print(f"Pushed to:   {summary['pushed_to'] or '(nothing)'}")
    if not summary["blessed"]:
        raise NotBlessedError(
            "The encoder was not blessed and not pushed: "
            f"{' '.join(summary.get('reasons', []))}"
        )


def _pretrain(options: argparse.Namespace) -> None:
    from gim_tf import jobs
    from gim_tf.data.records import record_files

    experiment = _resolved(options)
    directory = _writable(options.output_dir)
    records = directory / "records"
    if not records.exists():
        _say(f"Ingesting {experiment.data.source} ...")
        counts = jobs.ingest(experiment, records)
        _say("  " + "  ".join(f"{k} {n}" for k, n in counts.items()))
    jobs.pretrain(
        experiment,
        record_files(records, experiment.data.pretrain_split),
        directory / "training",
        tensorboard_dir=directory / "tensorboard",
        resume=options.resume,
    )
    (directory / _SETTINGS_FILE).write_text(config.to_json(experiment))
    _say(f"Trained. Next: gim probe --output-dir {directory}")


def _export(options: argparse.Namespace) -> None:
    from gim_tf import jobs

    directory = options.output_dir
    experiment = _recorded(directory)
    jobs.export(experiment, directory / "training", directory / "model")
    print(directory / "model")


def _probe(options: argparse.Namespace) -> None:
    from gim_tf import jobs
    from gim_tf.data.records import record_files

    directory = options.output_dir
    experiment = config.resolve(_recorded(directory), options.set)
    if not (directory / "model").exists():
        _export(options)
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
    jobs.write_report(experiment, sources, directory)
    _report(options)


def _report(options: argparse.Namespace) -> None:
    from gim_tf import jobs
    from gim_tf.inspection.summary_table import summarise_table

    summary = jobs.report(options.output_dir)
    print(f"\n{summarise_table(summary)}\n")
    print(f"Report:      {summary['report']}")
    print(f"TensorBoard: tensorboard --logdir {summary['tensorboard']}")


def _experiments(options: argparse.Namespace) -> None:
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


def _embed(options: argparse.Namespace) -> None:
    from gim_tf import jobs

    files = [Path(name) for name in options.files]
    count = jobs.embed(files, options.model, options.output)
    print(f"{count} embeddings in {options.output}")


def _resolved(options: argparse.Namespace) -> Experiment:
    overrides = list(options.set)
    if options.data is not None:
        overrides.append(f"data.path={options.data!r}")
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
    print(line, file=sys.stderr, flush=True)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    header = list(rows[0])
    lines = [header, *([str(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (c.ljust(w) for c, w in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _quieten() -> None:
    """Hides what libraries say on import; keeps our own lines and errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("gim_tf")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for noisy in ("tensorflow", "absl", "h5py"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gim",
        description="Greedy InfoMax: gradient-isolated self-supervised "
        "learning.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  gim experiments\n"
        "  gim run --experiment fashion_mnist_gim --output-dir outputs/first\n"
        "  gim pretrain --experiment fashion_mnist_gim --output-dir outputs/lib"
        " --set training.num_steps=200\n\n"
        "`gim VERB --help` shows more.",
    )
    parser.add_argument(
        "--version", action="version", version=f"gim_tf {__version__}"
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs)
    _add_pretrain(verbs)
    _add_export(verbs)
    _add_probe(verbs)
    _add_report(verbs)
    _add_experiments(verbs)
    _add_embed(verbs)
    return parser


def _add_run(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "run",
        _run,
        "run the whole pipeline: ingest, pretrain, probe, export, report",
        "gim run --experiment fashion_mnist_gim --output-dir outputs/first",
        "gim run --experiment stl10_gim --data stl10_binary/ "
        "--output-dir outputs/stl10",
    )
    _add_experiment(parser)
    _add_output(parser)
    parser.add_argument(
        "--beam-args",
        default="",
        metavar="FLAGS",
        help="flags of Beam's runner, such as \"--runner=DirectRunner "
        '--direct_num_workers=2"; none: in memory',
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="run every component, also those whose inputs are unchanged",
    )
    _add_resume(parser)


def _add_pretrain(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "pretrain",
        _pretrain,
        "train the modules, with the library only (no TFX)",
        "gim pretrain --experiment fashion_mnist_gim --output-dir outputs/lib "
        "--set training.num_steps=200",
    )
    _add_experiment(parser)
    _add_output(parser)
    _add_resume(parser)


def _add_export(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "export",
        _export,
        "write a pretrained encoder as a SavedModel",
        "gim export --output-dir outputs/lib",
    )
    _add_output(parser)


def _add_probe(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "probe",
        _probe,
        "probe every module of an exported encoder",
        "gim probe --output-dir outputs/lib --set probe.epochs=20",
    )
    _add_output(parser)
    _add_set(parser)


def _add_report(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "report",
        _report,
        "write report.html and summary.json of a finished run again",
        "gim report --output-dir outputs/first",
    )
    _add_output(parser)


def _add_experiments(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "experiments",
        _experiments,
        "list experiments with their data, cost and row in the paper",
        "gim experiments --json",
    )
    parser.add_argument("--json", action="store_true", help="for machines")


def _add_embed(verbs: Any) -> None:
    parser = _verb(
        verbs,
        "embed",
        _embed,
        "write the representations of files, by an exported encoder",
        "gim embed photos/*.png --model outputs/first/serving/"
        "fashion_mnist_gim/1 --output embeddings.npz",
    )
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument(
        "--model", type=Path, required=True, help="a SavedModel directory"
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help=".npz: `id` and one array [n, d] a module",
    )


def _verb(
    verbs: Any,
    name: str,
    function: Callable[[argparse.Namespace], None],
    summary: str,
    *examples: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
    )
    parser.set_defaults(verb=function)
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--experiment", required=True, metavar="NAME", help="see `experiments`"
    )
    parser.add_argument(
        "--data", metavar="PATH", help="same as --set data.path=PATH"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="same as --set training.seed=N"
    )
    _add_set(parser)


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a setting by its dotted path, such as "
        "training.num_steps=200; may be repeated",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="all files of the run; continued if it exists",
    )


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|PATH",
        help="auto: from the newest checkpoint, if any (default); never: "
        "only where there is none; PATH: from that checkpoint",
    )


if __name__ == "__main__":
    sys.exit(main())
