"""How many runs go at once: by cores, memory and accelerators."""

import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")  # a container's own, of version 2
_CARDS = Path("/proc/driver/nvidia/gpus")
_MEMINFO = Path("/proc/meminfo")
_THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
)


def default_jobs(num_runs: int, gigabytes: float) -> int:
    """Runs at once: one a core, as many as have the memory, at least one.

    Where there is an accelerator it is one: one process may need all of it.

    Args:
      num_runs: that there are.
      gigabytes: that one needs.
    """
    if _CARDS.is_dir() and any(_CARDS.iterdir()):
        return 1
    fitting = int(available_gigabytes() // gigabytes)
    return max(1, min(num_runs, cores(), fitting))


def environment(jobs: int) -> dict[str, str]:
    """Of a run's process: its share of the cores, if it is not alone."""
    if jobs == 1:
        return dict(os.environ)
    share = str(max(1, cores() // jobs))
    return {**os.environ, **dict.fromkeys(_THREADS, share)}


def cores() -> int:
    """Cores that this process may use, by its affinity and its container."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    quota, _, period = _limit("cpu.max").partition(" ")
    if quota.isdigit():
        count = min(count, int(quota) // int(period))
    return max(1, count)


def available_gigabytes() -> float:
    """Memory that new processes can have without swapping, in GB.

    Of the machine or of the container, whichever has less.
    """
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # no Linux: pages that are free
        pages = os.sysconf("SC_AVPHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
    sizes = dict(line.split(":", 1) for line in lines)
    available = int(sizes["MemAvailable"].split()[0]) * 1024
    limit, used = _limit("memory.max"), _limit("memory.current")
    if limit.isdigit() and used.isdigit():
        available = min(available, int(limit) - int(used))
    return available / 1e9


def _limit(name: str) -> str:
    """What a control group's file says; "" where there is none."""
    try:
        return (_GROUP / name).read_text().strip()
    except OSError:
        return ""
