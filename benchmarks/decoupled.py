"""Throughput of decoupled one-core workers against one such worker.

    python benchmarks/decoupled.py --experiment fashion_mnist_gim --workers 2

Worker processes on this machine, each bound to one core, in the order A B B A
(A: one worker with all modules). Their throughput is that of the slowest
worker after its first log line, so that neither start nor tracing counts.
Beside it stands what the modules' own times on one thread predict, sum / max,
to which the queue between two workers and the reading of data (by the first
worker alone) are not added. Prints a table and one JSON line. It needs as many
idle cores as workers.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import tensorflow as tf

from gim_tf import build, config, experiments, jobs
from gim_tf.cli.printing import print_bench
from gim_tf.config import Experiment
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import training_batches
from gim_tf.data.records import count_records, record_files
from gim_tf.jobs import Workers
from gim_tf.training.decoupled.balance import module_seconds
from gim_tf.training.decoupled.division import Division, divide
from gim_tf.training.run_directory import RunDirectory

_LINES = 6


def main() -> None:
    """Measures, and prints a table and a line of JSON."""
    options = _options()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
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
        files = record_files(
            directory / "records", experiment.data.pretrain_split
        )
        seconds = _module_seconds(experiment, files)
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
    _print(seconds, division, found[alone], found[division.sizes], options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="fashion_mnist_gim")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--pairs", type=int, default=1, help="of A B B A")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--json", action="store_true", help="no table")
    return parser.parse_args()


def _module_seconds(experiment: Experiment, files: list[str]) -> list[float]:
    data = build.build_training_data(experiment, files, count_records(files))
    stack = build.build_stack(
        experiment, precision=experiment.training.precision
    )
    trainer = build.build_trainer(experiment, stack)
    return module_seconds(trainer, next(training_batches(data, 0)))


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
    seconds: list[float],
    division: Division,
    alone: list[float],
    apart: list[float],
    options: argparse.Namespace,
) -> None:
    ratio = median(apart) / median(alone)
    rows: list[dict[str, Any]] = [
        {
            "workers": str(count),
            "modules": " ".join(map(str, sizes)),
            "examples/s": f"{median(values):.1f} "
            f"({min(values):.1f} .. {max(values):.1f})",
            "speed-up": f"{speed_up:.2f}",
            "predicted": f"{predicted:.2f}",
        }
        for count, sizes, values, speed_up, predicted in (
            (1, (len(seconds),), alone, 1.0, 1.0),
            (options.workers, division.sizes, apart, ratio, division.speed_up),
        )
    ]
    result = {
        "experiment": options.experiment,
        "workers": options.workers,
        "sizes": division.sizes,
        "module_seconds": seconds,
        "examples_per_second_alone": alone,
        "examples_per_second_apart": apart,
        "speed_up": ratio,
        "predicted_speed_up": division.speed_up,
    }
    print_bench(result, rows, only_json=options.json)


if __name__ == "__main__":
    main()
