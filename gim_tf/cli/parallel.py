"""Options of training on several devices and in several processes."""

import argparse
import os
from typing import TYPE_CHECKING, NamedTuple

from gim_tf import paths
from gim_tf.cli.printing import say
from gim_tf.config import Experiment

if TYPE_CHECKING:
    from gim_tf.training.replicas import Replicas


class Place(NamedTuple):
    """Where a process stands among those that train together.

    Attributes:
      replicas: None: what the experiment's strategy says of one process.
      directory: of this process; the chief's is the run's.
      is_chief: whether this process leaves the run.
    """

    replicas: "Replicas | None"
    directory: paths.Place
    is_chief: bool


def add_strategy(parser: argparse.ArgumentParser) -> None:
    """`--strategy`, and `--worker-timeout`, of decoupled workers too."""
    parser.add_argument(
        "--strategy",
        choices=("none", "mirrored", "multiworker"),
        help="divide each batch over replicas: all GPUs or logical processors "
        "(mirrored), or those of all processes of TF_CONFIG (multiworker); "
        "same as --set training.strategy=...; default: the experiment's, none",
    )
    parser.add_argument(
        "--worker-timeout",
        type=float,
        default=600.0,
        metavar="S",
        help="seconds to wait for another worker: of multiworker, at the start "
        "(reading the data included) and in a step, before this one kills "
        "itself, exit code 137; of decoupled ones, without a sign of life, "
        "longer than training.checkpoint_every steps take; 600 by default",
    )


def connect(experiment: Experiment, options: argparse.Namespace) -> Place:
    """Joins the cluster, if there is one, before TensorFlow does anything.

    Raises:
      ConfigError: TF_CONFIG is missing or wrong.
      WorkerLostError: the others cannot be reached.
    """
    directory = options.output_dir
    if experiment.training.strategy != "multiworker":
        return Place(None, directory, True)
    from gim_tf.training.cluster import parse_cluster
    from gim_tf.training.replicas import make_replicas

    cluster = parse_cluster(os.environ.get("TF_CONFIG"))
    count = len(cluster.addresses)
    say(f"Worker {cluster.worker} of {count} waits for all the others ...")
    replicas = make_replicas(
        "multiworker", cluster, time_limit=options.worker_timeout
    )
    say(f"  {count} workers, {replicas.count} replicas")
    if not cluster.is_chief:
        directory = directory / f"worker_{cluster.worker}"
    return Place(replicas, directory, cluster.is_chief)
