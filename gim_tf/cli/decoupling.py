"""Options of `gim pretrain` for decoupled workers, and joining a cluster."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gim_tf.cli.shared import numbers
from gim_tf.config import Experiment
from gim_tf.errors import ConfigError
from gim_tf.training.cluster import find_cluster

if TYPE_CHECKING:
    from gim_tf.jobs.decoupled_plan import Workers

_OPTIONS = ("workers", "in_process", "cluster", "task", "devices")


def add_decoupled(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument(
        "--schedule",
        choices=("simultaneous", "sequential", "decoupled"),
        help="which modules train when, same as --set training.schedule=...",
    )
    group = parser.add_argument_group(
        "decoupled workers (--schedule decoupled)"
    )
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes to start and watch on this machine, modules divided "
        "evenly by their measured time; default: one a module",
    )
    group.add_argument(
        "--in-process",
        action="store_true",
        help="workers are threads of this process, each on a device of its "
        "own where there are several",
    )
    group.add_argument(
        "--cluster",
        metavar="HOST:PORT,...",
        help="addresses of all workers, first to last, of which this process "
        "is one; default: what TF_CONFIG says, where it is set and --workers "
        "is not given",
    )
    group.add_argument(
        "--task",
        type=int,
        metavar="K",
        help="the number of this process in --cluster, from 0, the one with "
        "the data",
    )
    group.add_argument(
        "--worker-threads",
        type=int,
        default=0,
        metavar="N",
        help="of TensorFlow in each process of --workers; 0: one a core",
    )
    group.add_argument(
        "--devices",
        type=numbers,
        default=(),
        metavar="N[,N,...]",
        help="of --strategy mirrored: devices in all, which the slowest "
        "workers get, or one number for each worker; GPUs, or logical "
        "processors where there are none; default: all GPUs",
    )


def workers(
    options: argparse.Namespace, experiment: Experiment
) -> tuple[Workers | None, int]:
    """Who trains, and the number of this process among them.

    Raises:
      ConfigError: options that do not go together.
    """
    if experiment.training.schedule != "decoupled":
        given = [name for name in _OPTIONS if getattr(options, name)]
        if given:
            raise ConfigError(
                f"--{given[0].replace('_', '-')} is for --schedule decoupled, "
                f"received {experiment.training.schedule!r}."
            )
        return None, 0
    from gim_tf.jobs.decoupled_plan import Workers

    _check(options)
    addresses, task = _cluster(options)
    return Workers(
        count=len(addresses) or options.workers or 0,
        kind=_kind(options, addresses),
        addresses=addresses,
        silence_seconds=options.worker_timeout,
        threads=options.worker_threads,
        devices=options.devices,
    ), task


def join(workers: Workers, task: int, run_dir: Path) -> None:
    """Runs a worker of a cluster that is not the first."""
    from gim_tf.jobs.supervising import join_cluster

    join_cluster(
        run_dir,
        task,
        workers.addresses,
        silence_seconds=workers.silence_seconds,
    )


def _kind(
    options: argparse.Namespace, addresses: tuple[str, ...]
) -> Literal["threads", "processes", "cluster"]:
    if addresses:
        return "cluster"
    return "threads" if options.in_process else "processes"


def _check(options: argparse.Namespace) -> None:
    if options.workers is not None and options.workers < 1:
        raise ConfigError(
            f"--workers must be at least 1, received {options.workers}."
        )
    if options.worker_timeout <= 0 or options.worker_threads < 0:
        raise ConfigError(
            "--worker-timeout must be above 0 and --worker-threads at least 0, "
            f"received {options.worker_timeout:g} and {options.worker_threads}."
        )
    if options.cluster and (options.workers or options.in_process):
        raise ConfigError(
            "--cluster names workers that are started elsewhere; leave "
            "--workers and --in-process out."
        )
    if (options.cluster is None) != (options.task is None):
        raise ConfigError("--cluster and --task belong together; give both.")


def _cluster(options: argparse.Namespace) -> tuple[tuple[str, ...], int]:
    """Addresses and this process's number among them; ((), 0): none."""
    if options.cluster:
        addresses = tuple(options.cluster.split(","))
        if not 0 <= options.task < len(addresses):
            raise ConfigError(
                f"--task must be from 0 to {len(addresses) - 1}, received "
                f"{options.task}."
            )
        return addresses, options.task
    if options.workers or options.in_process:
        return (), 0
    found = find_cluster(os.environ.get("TF_CONFIG"))
    return (tuple(found.addresses), found.worker) if found else ((), 0)
