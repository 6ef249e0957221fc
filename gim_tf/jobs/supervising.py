"""Worker processes of a decoupled run on one machine, and who watches them.

A worker that a signal killed is started again and goes on from its own
checkpoint; one that ended with an error ends the run. The others are then
asked to save and to end.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gim_tf.errors import (
    ConfigError,
    InterruptedRunError,
    WorkerFailedError,
)
from gim_tf.jobs import decoupled_part
from gim_tf.jobs.decoupled_plan import Plan, read_plan
from gim_tf.training.decoupled import remote
from gim_tf.training.interrupts import Interrupts, end_all

_LOG = logging.getLogger(__name__)
ERROR = "error.json"
"""What a worker process leaves beside its checkpoints when it fails."""
_RESTARTS = 10
"""Of each worker; something that kills more often will do so again."""
_GRACE_SECONDS = 60.0
"""To finish a step and save it."""


def run_task(
    plan: Plan, task: int, addresses: Sequence[str], interrupts: Interrupts
) -> None:
    """Runs one worker in this process, which owns a server at its address.

    Args:
      plan: of the run.
      task: number of the worker, from 0.
      addresses: host:port of each worker.
      interrupts: whose signals end it.
    """
    trainer = decoupled_part.build_trainer(plan, task)
    capacity = plan.experiment.training.decoupled_queue
    dtype = decoupled_part.z_dtype(plan)
    inbox = outbox = None
    # Servers come after the first operations: TensorFlow's pool of threads
    # has the size that the first to use it asked for.
    if task > 0:
        inbox = remote.RemoteInbox(task, addresses[task], capacity, dtype)
    if task < plan.num_workers - 1:
        above = task + 1
        outbox = remote.RemoteOutbox(above, addresses[above], capacity, dtype)
    ends = decoupled_part.Ends(inbox, outbox)
    built = decoupled_part.build_worker(plan, task, trainer, ends, interrupts)
    decoupled_part.run_worker(plan, task, built)


def join_cluster(
    run_dir: str | Path,
    task: int,
    addresses: Sequence[str],
    *,
    silence_seconds: float,
) -> None:
    """Runs a worker of a cluster, other than the first, in this process.

    Args:
      run_dir: of the whole run, on a file system that all workers share.
      task: number of the worker, from 1.
      addresses: host:port of each worker.
      silence_seconds: to wait for the first worker, which reads the data and
        writes the plan, and then for the neighbours.

    Raises:
      ConfigError: the run is divided among another number of workers.
      WorkerLostError: there is no first worker, and more of `run_task`.
    """
    with Interrupts() as interrupts:
        plan = read_plan(run_dir, seconds=silence_seconds)
        # It may be that of an earlier start, which the first worker has not
        # written anew yet: how long to wait is for this command to say.
        plan = plan._replace(silence_seconds=silence_seconds)
        if plan.num_workers != len(addresses):
            raise ConfigError(
                f"{plan.run_dir} is divided among {plan.num_workers} workers, "
                f"received {len(addresses)} addresses; give all workers the "
                "same."
            )
        decoupled_part.start_tensorflow(plan, task)
        run_task(plan, task, addresses, interrupts)


def run_processes(plan: Plan, interrupts: Interrupts) -> None:
    """Starts a process a worker and returns when all are done.

    Raises:
      InterruptedRunError: a signal came; all are saved.
      WorkerFailedError: one ended with an error, or was killed too often.
    """
    addresses = free_addresses(plan.num_workers)
    _LOG.warning(
        "Workers talk over ports %s, open on all interfaces of this host, as "
        "TensorFlow's servers are, without a password; let a firewall or a "
        "container keep them inside.",
        ", ".join(address.rpartition(":")[2] for address in addresses),
    )
    processes = [
        _start(plan, task, addresses) for task in range(plan.num_workers)
    ]
    restarts = [0] * plan.num_workers
    try:
        while any(process.poll() is None for process in processes) or any(
            process.returncode for process in processes
        ):
            if interrupts.received is not None:
                raise InterruptedRunError(
                    f"Interrupted by signal {interrupts.received}; every "
                    "worker is saved; run again to resume.",
                    interrupts.received,
                )
            for task, process in enumerate(processes):
                if not process.poll():
                    continue
                _check_killed(plan, task, process.returncode, restarts[task])
                restarts[task] += 1
                _LOG.warning(
                    "%s was killed by signal %d; it goes on from its "
                    "checkpoint.",
                    plan.name(task),
                    _signal(process.returncode),
                )
                _close(process)
                processes[task] = _start(plan, task, addresses)
            time.sleep(0.2)
    finally:
        end_all(processes, _GRACE_SECONDS)
        for process in processes:
            _close(process)


def free_addresses(count: int) -> list[str]:
    """Addresses on this machine that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _start(
    plan: Plan, task: int, addresses: Sequence[str]
) -> subprocess.Popen[bytes]:
    module = "gim_tf.jobs.decoupled_worker"
    command = (sys.executable, "-W", "ignore", "-m", module)
    return subprocess.Popen(
        [*command, str(plan.run_dir), str(task), ",".join(addresses)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        # Its end tells the worker that this process is gone.
        stdin=subprocess.PIPE,
        # A terminal's Ctrl-C is for this process, which passes it on.
        start_new_session=True,
    )


def _check_killed(plan: Plan, task: int, code: int, restarts: int) -> None:
    """Raises unless the worker may be started again."""
    name = plan.name(task)
    if not _signal(code):
        path = plan.part_dir(task) / ERROR
        try:
            said = json.loads(path.read_text())["message"]
        except (OSError, ValueError, KeyError):
            said = "it left no message; see above"
        raise WorkerFailedError(f"{name} failed: {said}", code)
    if restarts >= _RESTARTS:
        raise WorkerFailedError(
            f"{name} was killed {restarts + 1} times, the last time by signal "
            f"{_signal(code)}; 9 is often a lack of memory. Run again to "
            "resume.",
            exit_code=1,
        )


def _signal(code: int) -> int:
    """What ended a process of this exit code, at once or after saving; or 0."""
    if code < 0:
        return -code
    asked = (signal.SIGTERM, signal.SIGINT)
    return code - 128 if code - 128 in asked else 0


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
