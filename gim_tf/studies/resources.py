"""How many runs go at once: by cores, memory and accelerators."""

import os
from pathlib import Path

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
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_gigabytes() -> float:
    """Memory that new processes can have without swapping, in GB."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:  # no Linux: pages that are free
        pages = os.sysconf("SC_AVPHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e9
    sizes = dict(line.split(":", 1) for line in lines)
    return int(sizes["MemAvailable"].split()[0]) * 1024 / 1e9
