"""A mailbox between two processes or hosts, on TensorFlow's own runtime.

Each worker runs a `tf.distribute.Server` and places a `tf.queue.FIFOQueue` and
a variable, the notice, on it under shared names. The worker below opens a
session on that server and runs the same operations there: TensorFlow's
between-graph replication, with its gRPC and its encoding of tensors.

The other way, one coordinator that calls functions on remote devices
(`tf.config.experimental_connect_to_cluster`), puts all modules of one client
at the mercy of each: the context of a client cannot replace a server that died
without losing what it has on the others. Here a server knows itself only, a
session waits for one server only, every operation has a time limit, and a
worker that comes back under its address is found again by a new session.

A server listens on all interfaces of its host and asks nobody for a name or
password: it belongs in a network of its own, as TensorFlow's documentation
says of all its servers.
"""

import contextlib
import logging
import socket
import time
from typing import Any

import numpy as np
import tensorflow as tf

from gim_tf.training.decoupled.links import Message, MessageLostError, Want

_LOG = logging.getLogger(__name__)
_V1 = tf.compat.v1
_JOB = "worker"
_ANSWER_SECONDS = 10.0
"""Time limit of what should take a millisecond."""
_OWN_SECONDS = 60.0
"""The same, of this process's own server."""
_SLOWEST = 10e6
"""Bytes a second of the slowest link that maps are sent over."""
_ATTEMPTS = 3
"""At what may be done twice, where the runtime aborts it."""
_LOOK_SECONDS = 1.0
"""To find out whether there is a server."""
_ALSO_DEAD = (tf.errors.OpError, RuntimeError)


class RemoteInbox:
    """The `Inbox` of a worker, on a server of this process.

    Args:
      task: number of the worker, from 0.
      address: host:port of its server.
      capacity: messages that may wait.
      dtype: of z.
    """

    def __init__(
        self, task: int, address: str, capacity: int, dtype: tf.DType
    ) -> None:
        self._server = tf.distribute.Server(
            tf.train.ClusterSpec({_JOB: {task: address}}),
            job_name=_JOB,
            task_index=task,
            # Queues are in main memory: a second owner of an accelerator in
            # this process would take its memory away.
            config=_V1.ConfigProto(device_count={"GPU": 0}),
        )
        self._mailbox = _Mailbox(task, self._server.target, capacity, dtype)

    def announce(self, want: Want) -> None:
        """See `links.Inbox`."""
        self._repeated("announce", list(want))

    def take(self, seconds: float) -> Message | None:
        """See `links.Inbox`."""
        # A time limit on the queue itself could expire just when a message
        # has been taken from it, which would be lost.
        until, pause = time.monotonic() + seconds, 0.001
        while not self._repeated("size"):
            if time.monotonic() >= until:
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        try:
            want, z, labels = self._mailbox.run("take", seconds=_OWN_SECONDS)
        except tf.errors.AbortedError as error:
            _LOG.warning(
                "A batch may be lost, and is asked for again: %s", error
            )
            raise MessageLostError from error
        return Message(_want(want), z, labels)

    def _repeated(self, name: str, *values: Any) -> Any:
        """What may be done twice is done again where the runtime aborts it.

        It has refused a call as "received twice" that was made once.
        """
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(tf.errors.AbortedError):
                return self._mailbox.run(name, *values, seconds=_OWN_SECONDS)
        return self._mailbox.run(name, *values, seconds=_OWN_SECONDS)


class RemoteOutbox:
    """The `Outbox` to a worker: a session on its server, opened when needed.

    Args:
      task: number of that worker.
      address: host:port of its server.
      capacity: messages that may wait there.
      dtype: of z.
    """

    def __init__(
        self, task: int, address: str, capacity: int, dtype: tf.DType
    ) -> None:
        self._arguments = (task, f"grpc://{address}", capacity, dtype)
        self._address = address
        self._capacity = capacity
        self._open: _Mailbox | None = None

    def want(self) -> Want | None:
        """See `links.Outbox`."""
        found = self._run("want", seconds=_ANSWER_SECONDS)
        return None if found is None else _want(found)

    def put(self, message: Message, seconds: float) -> bool:
        """See `links.Outbox`."""
        until, pause = time.monotonic() + seconds, 0.001
        while True:
            size = self._run("size", seconds=_ANSWER_SECONDS)
            if size is None:
                return False
            if size < self._capacity:
                break
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        # No one else sends: where there is room now it stays. So this time
        # limit is for the way there alone, which large maps need more of.
        limit = _ANSWER_SECONDS + _num_bytes(message.z) / _SLOWEST
        values = (list(message.want), message.z, message.labels)
        return self._run("put", *values, seconds=limit) is not None

    def _run(self, name: str, *values: Any, seconds: float) -> Any:
        """The operation's result; None where there was none in time."""
        try:
            if self._open is None:
                if not _listens(self._address):
                    return None
                self._open = _Mailbox(*self._arguments)
            found = self._open.run(name, *values, seconds=seconds)
            return () if found is None else found
        except tf.errors.DeadlineExceededError:
            if name != "put":  # a full queue is no fault of the session
                self._close()
        except _ALSO_DEAD as error:
            _LOG.debug("%s: %s", self._arguments[1], error)
            self._close()
        return None

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class _Mailbox:
    """The operations of one mailbox and a session that runs them."""

    def __init__(
        self, task: int, target: str, capacity: int, dtype: tf.DType
    ) -> None:
        graph = tf.Graph()
        device = f"/job:{_JOB}/task:{task}/device:CPU:0"
        with graph.as_default(), tf.device(device):
            queue = tf.queue.FIFOQueue(
                capacity, [tf.int64, dtype, tf.int64], shared_name="inputs"
            )
            notice = tf.raw_ops.VarHandleOp(
                dtype=tf.int64, shape=[2], shared_name="want"
            )
            values = [_V1.placeholder(t) for t in (tf.int64, dtype, tf.int64)]
            self._placeholders = values
            self._operations = {
                "announce": tf.raw_ops.AssignVariableOp(
                    resource=notice, value=values[0]
                ),
                "want": tf.raw_ops.ReadVariableOp(
                    resource=notice, dtype=tf.int64
                ),
                "put": queue.enqueue(values),
                "take": queue.dequeue(),
                "size": queue.size(),
            }
        config = _V1.ConfigProto(
            operation_timeout_in_ms=round(1000 * _ANSWER_SECONDS)
        )
        self._session = _V1.Session(target, graph=graph, config=config)

    def run(self, name: str, *values: Any, seconds: float) -> Any:
        """Runs one operation; values are those of the first placeholders."""
        arrays = [np.asarray(value) for value in values]
        return self._session.run(
            self._operations[name],
            dict(zip(self._placeholders, arrays, strict=False)),
            options=_V1.RunOptions(timeout_in_ms=round(1000 * seconds)),
        )

    def close(self) -> None:
        """Lets go of the session, whether or not its server answers."""
        with contextlib.suppress(*_ALSO_DEAD):
            self._session.close()


def _num_bytes(z: tf.Tensor) -> int:
    return int(np.prod(z.shape)) * z.dtype.size


def _listens(address: str) -> bool:
    """Whether somebody does; a session would wait for them to come."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _LOOK_SECONDS).close()
    except OSError:
        return False
    return True


def _want(values: np.ndarray) -> Want:
    return Want(*(int(value) for value in values))
