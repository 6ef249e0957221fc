"""What each worker of a run gets: as before, as asked for, or balanced."""

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from gim_tf import build
from gim_tf.config import Experiment
from gim_tf.data.input_pipeline import TrainingData, training_batches
from gim_tf.errors import ConfigError
from gim_tf.jobs.decoupled_plan import (
    Shares,
    Workers,
    check_shares,
    recorded_shares,
)
from gim_tf.training.decoupled import balance
from gim_tf.training.decoupled.division import Division, divide
from gim_tf.training.replicas import check_count, possible_counts

_LOG = logging.getLogger(__name__)


def shares(
    experiment: Experiment, data: TrainingData, run_dir: Path, workers: Workers
) -> Shares:
    """Modules and devices of each worker.

    Args:
      experiment: of the run.
      data: on whose first batch modules are measured, if they are.
      run_dir: of the whole run, which goes on under the division that it has.
      workers: who trains.

    Raises:
      ConfigError: workers cannot share the modules or the devices so.
      CheckpointError: the run is divided otherwise.
    """
    modules = experiment.stack.num_modules
    count = workers.count or len(workers.sizes) or modules
    if not 1 <= count <= modules:
        raise ConfigError(
            f"{count} workers cannot share {modules} modules; expected 1 to "
            f"{modules}."
        )
    asked = _replicas(experiment, workers, count)
    if before := recorded_shares(run_dir):
        same = before.sizes if len(before.sizes) == count else ()
        replicas = (before.replicas or (1,)) if asked is None else asked
        check_shares(before, Shares(workers.sizes or same, replicas), run_dir)
        return before
    if workers.sizes and (
        sum(workers.sizes) != modules or min(workers.sizes) < 1
    ):
        raise ConfigError(
            f"The workers' modules must sum to {modules}, with one each at "
            f"least; received {list(workers.sizes)}."
        )
    if workers.sizes and asked is not None:
        return Shares(workers.sizes, asked)
    seconds = _module_seconds(experiment, data)
    groups = workers.sizes or (1,) * modules
    found = _divided(experiment, _sums(seconds, groups), workers, count, asked)
    sizes = workers.sizes or found.sizes
    _LOG.info(
        "Milliseconds a module: %s. Modules a worker: %s%s, for a predicted "
        "speed-up of %.2f over one worker%s.",
        " ".join(f"{1000 * one:.1f}" for one in seconds),
        " ".join(map(str, sizes)),
        "" if asked is not None else f", devices: {_listed(found.replicas)}",
        found.speed_up,
        " of the same kind" if max(found.replicas) == 1 else " on one device",
    )
    return Shares(sizes, found.replicas if asked is None else asked)


def _replicas(
    experiment: Experiment, workers: Workers, count: int
) -> tuple[int, ...] | None:
    """Devices of each worker; (): all that it sees; None: to be balanced."""
    devices = workers.devices
    if experiment.training.strategy == "none":
        _require(not devices, "--devices is for --strategy mirrored")
        return (1,) * count
    _require(
        workers.kind != "threads",
        "workers of one process cannot be mirrored, because TensorFlow takes "
        "the collective operations of one for another's; leave --in-process "
        "out (`gim pretrain --workers N`), or take training.strategy=none",
    )
    if workers.kind == "cluster":
        _require(
            not devices,
            "each process of a cluster takes all devices that it sees; leave "
            "--devices out, and hide GPUs by CUDA_VISIBLE_DEVICES",
        )
        return ()
    received = _listed(devices)
    _require(
        len(devices) in {0, 1, count} and min(devices, default=1) > 0,
        f"--devices must be a number of 1 or more, or {count}, one a worker; "
        f"received {received}",
    )
    if len(devices) < count:
        _require(
            not devices or devices[0] >= count,
            f"{count} workers need a device each, received --devices "
            f"{received}",
        )
        return None
    gpus = _num_gpus()
    for number in devices:
        check_count(experiment, number)
        _require(
            number <= (gpus or number),
            f"there are {gpus} GPUs, received --devices {received}",
        )
    return devices


def _divided(
    experiment: Experiment,
    seconds: Sequence[float],
    workers: Workers,
    count: int,
    replicas: tuple[int, ...] | None,
) -> Division:
    """What makes the slowest worker fastest."""
    if replicas is not None:
        own = [(number,) for number in replicas or (1,) * count]
        return divide(seconds, count, choices=own)
    gpus = _num_gpus()
    devices = workers.devices[0] if workers.devices else max(gpus, count)
    most = min(devices, gpus or devices)
    possible = possible_counts(experiment, most) or [1]
    return divide(seconds, count, choices=[possible] * count, devices=devices)


def _module_seconds(experiment: Experiment, data: TrainingData) -> list[float]:
    trainer = build.build_trainer(
        experiment,
        build.build_training_stack(experiment),
    )
    return balance.module_seconds(trainer, next(training_batches(data, 0)))


def _sums(seconds: Sequence[float], sizes: Sequence[int]) -> list[float]:
    """Of each group."""
    left = iter(seconds)
    return [sum(itertools.islice(left, size)) for size in sizes]


def _num_gpus() -> int:
    return len(tf.config.list_physical_devices("GPU"))


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message[0].upper() + message[1:] + ".")
