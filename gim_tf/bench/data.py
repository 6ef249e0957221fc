"""`gim bench data`: what the input costs, alone and in the real loop."""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from gim_tf import build, config, jobs
from gim_tf.bench import machine
from gim_tf.config import Experiment
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import TrainingData, training_batches
from gim_tf.data.records import count_records, record_files
from gim_tf.errors import ConfigError
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.loop import LogLine, LoopSettings, train

_MIB = 1024 * 1024


def measure(
    experiment: Experiment,
    records: str | Path | None,
    *,
    steps: int,
    threads: int = 0,
) -> dict[str, Any]:
    """Times the input pipeline of an experiment.

    Args:
      experiment: what is trained on what.
      records: directory of the records, written by ingest if they are not
        there; None: one that is removed again.
      steps: batches that are timed, alone and then by the training loop, each
        after as many to warm up.
      threads: see `gim_tf.bench.machine.set_threads`.

    Returns:
      Ready for JSON: "first_batch_s" (from nothing, an epoch's order drawn),
      "batch_ms" (median) and "examples_per_second" of the input alone;
      "processor_share" (of the loop's cores times its seconds, what the input
      computes); of the loop "step_ms", "loop_examples_per_second" and
      "data_wait", the share of its time without a batch to train on.
    """
    if steps < 1:
        raise ConfigError(f"--steps must be 1 or more, received {steps}.")
    threads = machine.set_threads(
        threads, in_turn=experiment.training.operations_in_turn
    )
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(records or f"{scratch}/records")
        jobs.ingest(experiment, directory)
        experiment = config.completed(experiment, read_corpus(directory))
        files = record_files(directory, experiment.data.pretrain_split)
        count = count_records(files)
        data = build.build_training_data(experiment, files, count)
        alone = _alone(data, steps)
        line = _loop(experiment, data, steps, Path(scratch, "run"))
    step_s = data.batch_size / line["examples_per_second"]
    return {
        "bench": "data",
        "experiment": experiment.name,
        "batch_size": data.batch_size,
        "steps": steps,
        "steps_per_epoch": data.steps_per_epoch,
        "threads": threads,
        **alone,
        "processor_share": alone["batch_cpu_ms"] / 1000 / step_s / threads,
        "step_ms": 1000 * step_s,
        "loop_examples_per_second": line["examples_per_second"],
        "data_wait": line["data_wait"],
        "machine": machine.describe(),
    }


def _alone(data: TrainingData, steps: int) -> dict[str, float]:
    """Batches as fast as they come, with nothing else to do."""
    started = time.perf_counter()
    batches = training_batches(data, 0)
    first = next(batches)
    first_s = time.perf_counter() - started
    for _ in range(steps):
        next(batches)
    seconds = []
    cpu, before = time.process_time(), time.perf_counter()
    for _ in range(steps):
        next(batches)
        now = time.perf_counter()
        seconds.append(now - before)
        before = now
    cpu = time.process_time() - cpu
    return {
        "batch_mib": first.x.dtype.size * first.x.shape.num_elements() / _MIB,
        "first_batch_s": first_s,
        "batch_ms": 1000 * statistics.median(seconds),
        "batch_cpu_ms": 1000 * cpu / steps,
        "examples_per_second": steps * data.batch_size / sum(seconds),
    }


def _loop(
    experiment: Experiment, data: TrainingData, steps: int, directory: Path
) -> LogLine:
    """The second of two log lines: the first one's time has the tracing."""
    training = dataclasses.replace(
        experiment.training, schedule="simultaneous", num_steps=2 * steps
    )
    experiment = dataclasses.replace(experiment, training=training)
    stack = build.build_training_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    lines: list[LogLine] = []
    train(
        trainer,
        data,
        LoopSettings(
            phases=build.build_phases(experiment),
            log_every=steps,
            checkpoint_every=2 * steps,
        ),
        checkpoints=RunCheckpoints(directory, trainer),
        start_step=0,
        on_log=lines.append,
    )
    return lines[-1]
