"""Throughput of decoupled one-core workers against one such worker.

    python benchmarks/decoupled.py --experiment fashion_mnist_gim --workers 2

Worker processes on this machine, each bound to one core, in the order A B B A
(A: one worker with all modules). Their throughput is that of the slowest
worker after its first log line, so that neither start nor tracing counts.
Beside it stands what the modules' own times on one thread predict, sum / max,
to which the queue between two workers and the reading of data (by the first
worker alone) are not added.

Cores share caches, memory and often one real core, which no division among
workers can help: "slower beside" is how much longer a module takes on its core
while the other workers' cores compute likewise, each for itself and without a
word between them. The prediction divided by it is what this machine allows.

Prints a table and one JSON line. It needs as many idle cores as workers.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import tensorflow as tf

from gim_tf import build, config, experiments, jobs
from gim_tf.cli.printing import print_bench
from gim_tf.config import Experiment
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import Batch, training_batches
from gim_tf.data.records import count_records, record_files
from gim_tf.jobs import Workers
from gim_tf.training.decoupled.balance import module_seconds
from gim_tf.training.decoupled.division import Division, divide
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.trainer import GIMTrainer

_LINES = 6


def main() -> None:
    """Measures, and prints a table and a line of JSON."""
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    # Before TensorFlow makes its threads, which inherit it.
    os.sched_setaffinity(
        0, cores[:1] if options.core is None else {options.core}
    )
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        experiment, files = _prepared(options, directory)
        if options.core is not None:
            _compute_for_ever(experiment, files)
        seconds = _module_seconds(experiment, files)
        with _others_computing(options, cores[1 : options.workers]):
            beside = _module_seconds(experiment, files)
        os.sched_setaffinity(0, cores)
        division = divide(seconds, options.workers)
        alone = (len(seconds),)
        found: dict[tuple[int, ...], list[float]] = {
            alone: [],
            division.sizes: [],
        }
        order = [alone, division.sizes, division.sizes, alone]
        for index, sizes in enumerate(order * options.pairs):
            run = directory / f"run_{index}"
            found[sizes].append(_throughput(experiment, files, run, sizes))
    _print(seconds, beside, division, found, options)


def _prepared(
    options: argparse.Namespace, directory: Path
) -> tuple[Experiment, list[str]]:
    experiment = config.resolve(
        experiments.get(options.experiment),
        [
            *options.set,
            "training.schedule=decoupled",
            f"training.num_steps={options.steps}",
            f"training.log_every={max(options.steps // _LINES, 1)}",
            f"training.checkpoint_every={options.steps}",
        ],
    )
    jobs.ingest(experiment, directory / "records")
    experiment = config.completed(
        experiment, read_corpus(directory / "records")
    )
    files = record_files(directory / "records", experiment.data.pretrain_split)
    return experiment, files


@contextlib.contextmanager
def _others_computing(
    options: argparse.Namespace, cores: Sequence[int]
) -> Iterator[None]:
    """Keeps the other workers' cores at work on modules of their own."""
    words = ["--experiment", options.experiment]
    words += [word for one in options.set for word in ("--set", one)]
    others = [
        subprocess.Popen(
            [sys.executable, __file__, *words, "--core", str(core)],
            stdout=subprocess.PIPE,
        )
        for core in cores
    ]
    try:
        for other in others:
            if other.stdout is None or not other.stdout.readline():
                raise SystemExit("A process beside this one ended early.")
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def _compute_for_ever(experiment: Experiment, files: Sequence[str]) -> None:
    trainer, batch = _trainer(experiment, files)
    module_seconds(trainer, batch, steps=1)
    print("computing", flush=True)
    module_seconds(trainer, batch, steps=sys.maxsize)  # of the first module


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="fashion_mnist_gim")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pairs", type=int, default=1, help="of A B B A")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true", help="no table")
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def _module_seconds(
    experiment: Experiment, files: Sequence[str]
) -> list[float]:
    return module_seconds(*_trainer(experiment, files))


def _trainer(
    experiment: Experiment, files: Sequence[str]
) -> tuple[GIMTrainer, Batch]:
    data = build.build_training_data(experiment, files, count_records(files))
    stack = build.build_training_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    return trainer, next(training_batches(data, 0))


def _throughput(
    experiment: Experiment,
    files: list[str],
    run: Path,
    sizes: tuple[int, ...],
) -> float:
    """Examples a second of a run, from its first log line to its last."""
    jobs.pretrain(
        experiment,
        files,
        run,
        tensorboard_dir=run / "tensorboard",
        workers=Workers(kind="processes", sizes=sizes, threads=1),
    )
    first, *_, last = RunDirectory(run).history()
    steps = last["step"] - first["step"]
    seconds = last["seconds"] - first["seconds"]
    return steps * experiment.training.batch_size / seconds


def _print(
    seconds: Sequence[float],
    beside: Sequence[float],
    division: Division,
    found: dict[tuple[int, ...], list[float]],
    options: argparse.Namespace,
) -> None:
    alone, apart = found[(len(seconds),)], found[division.sizes]
    ratio = median(apart) / median(alone)
    slower = sum(beside) / sum(seconds)
    rows: list[dict[str, Any]] = [
        {
            "workers": str(count),
            "modules": " ".join(map(str, sizes)),
            "examples/s": f"{median(values):.1f} "
            f"({min(values):.1f} .. {max(values):.1f})",
            "speed-up": f"{speed_up:.2f}",
            "predicted": f"{predicted:.2f}",
            "slower beside": f"{lost:.2f}",
            "this machine allows": f"{predicted / lost:.2f}",
        }
        for count, sizes, values, speed_up, predicted, lost in (
            (1, (len(seconds),), alone, 1.0, 1.0, 1.0),
            (
                options.workers,
                division.sizes,
                apart,
                ratio,
                division.speed_up,
                slower,
            ),
        )
    ]
    result = {
        "experiment": options.experiment,
        "workers": options.workers,
        "sizes": division.sizes,
        "module_seconds": seconds,
        "module_seconds_beside": beside,
        "examples_per_second_alone": alone,
        "examples_per_second_apart": apart,
        "speed_up": ratio,
        "predicted_speed_up": division.speed_up,
        "allowed_speed_up": division.speed_up / slower,
    }
    print_bench(result, rows, only_json=options.json)


if __name__ == "__main__":
    main()
