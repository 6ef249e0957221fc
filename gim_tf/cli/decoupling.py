"""Options of `gim pretrain` for decoupled workers, and joining a cluster."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gim_tf.config import Experiment
from gim_tf.errors import ConfigError

if TYPE_CHECKING:
    from gim_tf.jobs.decoupled_plan import Workers

_OPTIONS = ("workers", "in_process", "cluster", "task")


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
    addresses: tuple[str, ...] = ()
    task, source = 0, "--task"
    if options.cluster:
        addresses = tuple(options.cluster.split(","))
        task = options.task
    elif not (options.workers or options.in_process):
        addresses, task = _tf_config(os.environ.get("TF_CONFIG", ""))
        source = "the task of TF_CONFIG"
    if addresses and not 0 <= task < len(addresses):
        raise ConfigError(
            f"{source} must be from 0 to {len(addresses) - 1}, received {task}."
        )
    return addresses, task


def _tf_config(text: str) -> tuple[tuple[str, ...], int]:
    """As Vertex AI and the Kubernetes training operator set it.

    A job "chief" (or "master") comes before the job "worker"; others, such as
    "evaluator", train nothing.
    """
    if not text:
        return (), 0
    try:
        content: dict[str, Any] = json.loads(text)
        cluster, task = content.get("cluster", {}), content.get("task", {})
        jobs = [j for j in ("chief", "master", "worker") if j in cluster]
        addresses = [(j, i) for j in jobs for i in range(len(cluster[j]))]
        if not addresses:
            return (), 0
        number = addresses.index((task["type"], int(task["index"])))
        return tuple(cluster[j][i] for j, i in addresses), number
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "TF_CONFIG must be JSON with a cluster of chief and worker "
            f"addresses and this process's task; received {text!r} ({error}). "
            "Mend it, or give --workers."
        ) from error
