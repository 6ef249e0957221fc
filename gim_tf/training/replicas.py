"""Data parallelism: a batch is divided over replicas of all modules.

Every replica has all weights. It takes an equal part of each batch, in order;
gradients are averaged over the replicas before a module's optimizer applies
them, once, to each copy alike. What is a mean over examples, such as the
supervised loss where every example has a label, has the gradient of one device
but for the order of the sums. Negatives are drawn within a replica's part of
the batch, other ones on each.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from gim_tf.config import Experiment
from gim_tf.errors import ConfigError, WorkerLostError
from gim_tf.training.cluster import Cluster
from gim_tf.training.deadline import Deadline

# What TensorFlow says when a peer of a collective operation is gone.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)

# Objectives that can do with one example a replica.
_SINGLE = ("info_nce", "supervised")


def mean(values: Any) -> Any:
    """Averages over replicas, of nested tensors; None stays None.

    Outside of a replica, or where there is only one, the values themselves.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    flat = tf.nest.flatten(values)
    present = [value for value in flat if value is not None]
    averaged = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, present))
    return tf.nest.pack_sequence_as(
        values, [None if value is None else next(averaged) for value in flat]
    )


def parts(strategy: tf.distribute.Strategy, values: tf.Tensor) -> Any:
    """Values [b, ...] as equal parts, one for each replica of this process."""
    count = len(strategy.extended.worker_devices)
    pieces = iter(tf.split(values, count))
    return strategy.experimental_distribute_values_from_function(
        lambda _: next(pieces)
    )


class Replicas:
    """The replicas that train together, in this process and in others.

    Args:
      strategy: of `tf.distribute`; None: one device, and no strategy.
      cluster: of which this process is a worker; None: it is alone.
      deadline: extended whenever all workers have met.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        cluster: Cluster | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self.strategy = strategy
        self._cluster = cluster
        self._deadline = deadline
        self._summed = tf.function(
            functools.partial(self._sum, strategy), autograph=False
        )

    @property
    def count(self) -> int:
        """Replicas in all processes."""
        return (
            1 if self.strategy is None else self.strategy.num_replicas_in_sync
        )

    @property
    def num_workers(self) -> int:
        """Processes."""
        return 1 if self._cluster is None else len(self._cluster.addresses)

    @property
    def worker(self) -> int:
        """This process's place among them; 0: the chief."""
        return 0 if self._cluster is None else self._cluster.worker

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and history."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables made inside have a copy on each replica."""
        if self.strategy is None:
            return contextlib.nullcontext()
        return self.strategy.scope()

    def gathered(self, value: int) -> list[int]:
        """A number of every worker, in their order.

        All workers must call this, the same number of times.
        """
        if self.num_workers == 1:
            return [value]
        numbers = np.zeros(self.num_workers, np.int64)
        numbers[self.worker] = value
        found = self._total(numbers)
        return [int(number) for number in found]

    def from_chief(self, values: np.ndarray) -> np.ndarray:
        """The chief's values, on every worker, which must all call this."""
        if self.num_workers == 1:
            return values
        return self._total(values if self.is_chief else np.zeros_like(values))

    def copy_from_chief(self, variables: Sequence[tf.Variable]) -> None:
        """Gives variables the chief's values on every worker."""
        if self.num_workers == 1:
            return
        for dtype in sorted({variable.dtype.name for variable in variables}):
            chosen = [v for v in variables if v.dtype.name == dtype]
            values = [variable.numpy() for variable in chosen]
            flat = self.from_chief(np.concatenate([v.ravel() for v in values]))
            ends = np.cumsum([value.size for value in values])[:-1]
            for variable, value, new in zip(
                chosen, values, np.split(flat, ends), strict=True
            ):
                variable.assign(new.reshape(value.shape))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Makes a plain error of what TensorFlow says of a lost worker.

        Raises:
          WorkerLostError: instead of TensorFlow's.
        """
        try:
            yield
        except _LOST as error:
            if self.num_workers == 1:
                raise
            raise WorkerLostError(
                f"Worker {self.worker} of {self.num_workers} has lost another "
                f"one ({type(error).__name__}). Start all workers again: they "
                "go on from the chief's newest checkpoint."
            ) from error
        finally:
            if self._deadline is not None:
                self._deadline.stop()

    def _total(self, values: np.ndarray) -> np.ndarray:
        """Sum over the workers."""
        found = self._summed(tf.constant(values)).numpy()
        if self._deadline is not None:
            self._deadline.extend()
        return found

    def _sum(
        self, strategy: tf.distribute.Strategy, values: tf.Tensor
    ) -> tf.Tensor:
        def summed() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, first)
            own = tf.where(is_first, values, tf.zeros_like(values))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

        first = self.worker * self.count // self.num_workers
        results = strategy.run(summed)
        return strategy.experimental_local_results(results)[0]


def make_replicas(
    kind: str, cluster: Cluster | None = None, *, time_limit: float = 300.0
) -> Replicas:
    """The replicas of a strategy; with several workers, waits for them all.

    Args:
      kind: "none"; "mirrored": all GPUs that TensorFlow sees, or else all
        logical processors; "multiworker": those of every worker.
      cluster: of "multiworker".
      time_limit: seconds in which workers must meet, at the start and from
        step to step; beyond, the process ends, see
        `gim_tf.training.deadline`.

    Raises:
      ConfigError: "multiworker" without a cluster.
      WorkerLostError: the others cannot be reached.
    """
    if kind == "none":
        return Replicas()
    if kind == "mirrored":
        return Replicas(_mirrored())
    if cluster is None:
        raise ConfigError(
            f"Strategy {kind!r} needs the addresses of its workers; start "
            "`gim pretrain --strategy multiworker` with TF_CONFIG in each."
        )
    return _of_cluster(cluster, time_limit)


@functools.cache
def _mirrored() -> tf.distribute.Strategy:
    """The only one of this process.

    A second one numbers its collective operations from the same start, and
    TensorFlow takes them for the first one's ("shape mismatch in the
    collective instance").
    """
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _of_cluster(cluster: Cluster, time_limit: float) -> Replicas:
    others = [
        a for a in cluster.addresses if a != cluster.addresses[cluster.worker]
    ]
    deadline = Deadline(
        time_limit,
        f"Worker {cluster.worker} of {len(cluster.addresses)} has waited for "
        f"{time_limit:g} s for the others ({', '.join(others)}). Start all "
        "workers again, each with its own TF_CONFIG: they go on from the "
        "chief's newest checkpoint.",
    )
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs),
        task_type=cluster.job,
        task_id=cluster.task,
        rpc_layer="grpc",
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        deadline.stop()
        raise WorkerLostError(
            f"Worker {cluster.worker} cannot join {', '.join(others)} from "
            f"{cluster.addresses[cluster.worker]}: "
            f"{error.message.splitlines()[0]}. Check the addresses of "
            "TF_CONFIG, and that nothing else listens on this one."
        ) from error
    return Replicas(strategy, cluster, deadline)


def check_division(experiment: Experiment, replicas: Replicas) -> None:
    """Raises `ConfigError` where batches cannot be divided over replicas."""
    check_count(experiment, replicas.count)
    if experiment.training.operations_in_turn and replicas.strategy is not None:
        raise ConfigError(
            "training.operations_in_turn lets one replica wait for ever for "
            "the other; leave it out, or take training.strategy=none."
        )


def check_count(experiment: Experiment, count: int) -> None:
    """Raises `ConfigError` where there cannot be so many replicas."""
    refusal = _refusal(experiment, count)
    if refusal:
        raise ConfigError(refusal)


def possible_counts(experiment: Experiment, most: int) -> list[int]:
    """Numbers of replicas over which batches can be divided, up to `most`."""
    return [n for n in range(1, most + 1) if not _refusal(experiment, n)]


def _refusal(experiment: Experiment, count: int) -> str:
    """Why a batch cannot be divided over so many replicas; or ""."""
    training, objective = experiment.training, experiment.stack.objective.kind
    batch = training.batch_size
    if batch % count:
        below = batch // count * count
        return (
            f"training.batch_size must be a multiple of the {count} replicas, "
            f"received {batch}; set it to {below or count} or "
            f"{below + count}."
        )
    if batch // count % training.recompute_groups:
        return (
            f"training.recompute_groups must divide the {batch // count} "
            f"examples of each of {count} replicas, received "
            f"{training.recompute_groups}."
        )
    if batch // count < 2 <= batch and objective not in _SINGLE:
        return (
            f"stack.objective.kind {objective!r} compares the examples of a "
            f"replica with each other; {count} replicas need a "
            f"training.batch_size of {2 * count} or more, received {batch}."
        )
    return ""


def check_equal(replicas: Replicas, settings: Mapping[str, Any]) -> None:
    """Raises `ConfigError` on all workers if one has other settings."""
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    found = replicas.gathered(int.from_bytes(digest[:7], "big"))
    others = [i for i, number in enumerate(found) if number != found[0]]
    if others:
        raise ConfigError(
            f"Worker(s) {', '.join(map(str, others))} of {len(found)} have "
            "other settings or other data than the chief, worker 0. Give all "
            "of them the same command and the same data; the config.json of "
            "each run directory shows what differs."
        )
