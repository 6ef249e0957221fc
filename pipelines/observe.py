"""What a run tells while it works: progress lines, a log file, memory."""

import bisect
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import logging as absl_logging  # type: ignore[import-untyped]

Report = Callable[[str], None]

# For the log file: a name that `Progress` does not pass on.
FILE_LOG = logging.getLogger("gim.run")

# LocalDagRunner and its launcher have no hooks, so their log lines serve.
_RUNNING = "Component %s is running."
_FINISHED = "Component %s is finished."
_CACHED = "A cached execution %d is used."

# Those that may have handlers or levels of their own.
_LOGGERS = ("absl", "tensorflow", "gim_tf", "pipelines")


class Progress(logging.Handler):
    """Reports a line as each component starts and as it ends.

    In between it passes on what this project's own code logs.

    Args:
      report: receives the lines.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(logging.INFO)
        self._report = report
        self._started = 0.0
        self._cached = False

    def emit(self, record: logging.LogRecord) -> None:
        """Recognises the runner's messages by their format string."""
        if record.msg == _RUNNING:
            self._started, self._cached = time.monotonic(), False
            self._report(f"{_node(record)}: started")
        elif record.msg == _CACHED:
            self._cached = True
        elif record.msg == _FINISHED:
            seconds = time.monotonic() - self._started
            ending = "cached" if self._cached else f"done in {seconds:.1f} s"
            self._report(f"{_node(record)}: {ending}")
        elif record.name.startswith(("gim_tf.", "pipelines.")):
            self._report(f"  {record.getMessage()}")


class MemorySampler:
    """Samples the resident memory of this process in a thread.

    Beam's worker processes, if any, are not counted. After `most` samples the
    larger of each two stays and the interval doubles: a run of days takes no
    more memory than one of hours.

    Args:
      interval: seconds between samples, at first.
      most: samples that are kept.
    """

    def __init__(self, interval: float = 0.1, most: int = 100_000) -> None:
        self._interval = interval
        self._most = most
        self._lock = threading.Lock()
        self._times: list[float] = []
        self._mib: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "MemorySampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def peak(self, start: float, end: float) -> float | None:
        """Largest MiB between two times of `time.time`; None if unknown."""
        with self._lock:
            first = max(bisect.bisect_right(self._times, start) - 1, 0)
            last = bisect.bisect_right(self._times, end)
            return max(self._mib[first:last], default=None)

    def _sample(self) -> None:
        while not self._stop.is_set():
            mib = _resident_mib()
            if mib is None:
                return
            with self._lock:
                self._mib.append(mib)
                self._times.append(time.time())
                if len(self._times) >= self._most:
                    self._thin()
            self._stop.wait(self._interval)

    def _thin(self) -> None:
        self._mib = [
            max(self._mib[i : i + 2]) for i in range(0, len(self._mib), 2)
        ]
        self._times = self._times[::2]
        self._interval *= 2


@contextlib.contextmanager
def logs_to(path: Path, progress: logging.Handler) -> Iterator[None]:
    """Sends all logging, warnings and native stderr output to a file.

    What Python itself prints to `sys.stderr` still reaches the terminal. The
    traceback of an exception goes to the file on its way through.

    Args:
      path: the log file, appended to.
      progress: also receives every record.
    """
    to_file = logging.FileHandler(path, errors="backslashreplace")
    to_file.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, _LOGGERS)]
    before = [(o, o.level, o.handlers[:], o.propagate) for o in loggers]
    verbosity = absl_logging.get_verbosity()
    for one in loggers:
        one.setLevel(logging.INFO)
        one.handlers, one.propagate = [], True
    # Through absl's own function: TensorFlow resets it that way.
    absl_logging.set_verbosity(absl_logging.INFO)
    root.handlers = [to_file, progress]
    logging.captureWarnings(True)
    try:
        with _native_stderr_to(path):
            yield
    except Exception:
        # In the file only: the terminal gets what the user can mend.
        FILE_LOG.exception("The run failed.")
        raise
    finally:
        logging.captureWarnings(False)
        absl_logging.set_verbosity(verbosity)
        for one, level, handlers, propagate in before:
            one.setLevel(level)
            one.handlers, one.propagate = handlers, propagate
        to_file.close()


@contextlib.contextmanager
def _native_stderr_to(path: Path) -> Iterator[None]:
    python_stderr = sys.stderr
    python_stderr.flush()
    terminal = os.dup(2)
    with (
        path.open("ab") as log,
        # As Python's own stderr: an odd character is no reason to fail.
        open(os.dup(terminal), "w", errors="backslashreplace") as mirror,
    ):
        os.dup2(log.fileno(), 2)
        if _descriptor(python_stderr) == 2:
            sys.stderr = mirror
        try:
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
            os.close(terminal)


def _descriptor(stream: object) -> int | None:
    try:
        return stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None


def _node(record: logging.LogRecord) -> str:
    return str(record.args[0]) if isinstance(record.args, tuple) else "?"


def _resident_mib() -> float | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
