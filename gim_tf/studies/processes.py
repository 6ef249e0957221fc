"""A child process that ends with its parent, and whose output is a file."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gim_tf.training.interrupts import end_all

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PATIENCE = 120.0  # seconds for a step to end and a checkpoint to be written
_ERROR = "gim: error: "


class Child:
    """A process of its own session: signals of the terminal miss it.

    Killed with its parent by SIGTERM, at which training saves and ends; so
    that the same study can be started again at once.

    Args:
      command: program and arguments.
      log: file that both outputs are added to.
      environment: all of it.
      said: text on its standard input.

    Attributes:
      process: itself.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        said: str = "",
    ) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with log.open("ab") as output:
            self._start = output.tell()
            self.process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=lambda: _end_with(parent),
            )
        if self.process.stdin is not None:
            # One that ended before it has read all says why by its code.
            with (
                contextlib.suppress(BrokenPipeError),
                self.process.stdin as pipe,
            ):
                pipe.write(said.encode())

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def said(self) -> str:
        """All that it has written so far."""
        with self._log.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace")

    def last_line(self) -> str:
        """Its error, else its last line, or how it ended without one."""
        code = self.process.returncode
        if code is not None and code < 0:
            return f"killed by signal {-code} (9: out of memory?)"
        lines = [line for line in self.said().splitlines() if line.strip()]
        # TensorFlow may write behind the error.
        errors = [line for line in lines if line.startswith(_ERROR)]
        lines = errors or lines
        return lines[-1] if lines else f"ended with code {code}"


def stop(children: Iterable[Child]) -> None:
    """Asks all to save and end, at once, and waits."""
    end_all([child.process for child in children], _PATIENCE)


def _end_with(parent: int) -> None:
    """Asks the kernel for SIGTERM when the parent is gone; Linux only."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it went in between
        os.kill(os.getpid(), signal.SIGTERM)
