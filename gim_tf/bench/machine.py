"""This machine, and what the kernel says of this process."""

import os
import platform
from pathlib import Path
from typing import Any

import tensorflow as tf

from gim_tf.accelerators import grow_gpu_memory
from gim_tf.errors import ConfigError
from gim_tf.training.threads import run_operations_in_turn


def describe() -> dict[str, Any]:
    """Processor, cores that this process may use, and versions."""
    return {
        "cpu": _cpu_name(),
        "cores": cores(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def set_threads(threads: int | None, *, in_turn: bool = False) -> int:
    """Threads in and between operations, before TensorFlow runs any.

    GPUs give memory as it is needed, as they do to the runs that it stands for.

    Args:
      threads: 0: one a core; None: as they are, in a process that has run
        something.
      in_turn: one between operations, see `gim_tf.training.threads`.

    Returns:
      How many there will be.

    Raises:
      ConfigError: below 0, or TensorFlow has run something with others.
    """
    grow_gpu_memory()
    if threads is None:
        return tf.config.threading.get_intra_op_parallelism_threads() or cores()
    if threads < 0:
        raise ConfigError(f"--threads must be 0 or more, received {threads}.")
    threads = threads or cores()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ConfigError(
            "--threads must be set before TensorFlow runs anything; start "
            "`gim bench` in a process of its own."
        ) from error
    if in_turn:
        run_operations_in_turn()
    return threads


def resident_mib() -> float:
    """Resident set of this process, in MiB of 1024 * 1024 bytes."""
    return _status("VmRSS")


def peak_mib() -> float:
    """Largest resident set of this process so far, in the same MiB."""
    return _status("VmHWM")


def _status(key: str) -> float:
    """A value of /proc/self/status, which counts in 1024 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) / 1024
    raise KeyError(f"/proc/self/status has no {key}.")


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
