"""SIGTERM and SIGINT as a flag that the loop reads between two steps.

And the other side of it: how processes that do so are asked to end.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopWaiting(Exception):  # noqa: N818 - no error: what was asked for
    """Ends a wait for another worker, because this one is to end."""


class Interrupts:
    """Context in which the first SIGTERM or SIGINT is noted, not obeyed.

    A second one acts as usual, for those who cannot wait for the step's end.
    Outside the main thread, where Python delivers no signals, it does nothing.

    Attributes:
      received: the signal's number, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}


def end_all(
    processes: Sequence[subprocess.Popen[bytes]], seconds: float
) -> None:
    """Asks processes to save and end, all at once, and waits for them.

    Args:
      processes: some may have ended before.
      seconds: for all of them; those that are still there then are killed.
    """
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    until = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(timeout=max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
