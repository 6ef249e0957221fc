"""A child process that ends with its parent, and whose output is a file."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PATIENCE = 120.0  # seconds for a step to end and a checkpoint to be written


class Child:
    """A process of its own session: signals of the terminal miss it.

    Killed with its parent by SIGTERM, at which training saves and ends; so
    that the same study can be started again at once.

    Args:
      command: program and arguments.
      log: file that both outputs are added to.
      environment: all of it.
      said: text on its standard input.
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
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=lambda: _end_with(parent),
            )
        if self._process.stdin is not None:
            self._process.stdin.write(said.encode())
            self._process.stdin.close()

    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        """All that it has written so far."""
        with self._log.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace")

    def last_line(self) -> str:
        """The last line that it wrote, or how it ended without one."""
        code = self._process.returncode
        if code is not None and code < 0:
            return f"killed by signal {-code} (9: out of memory?)"
        lines = [line for line in self.said().splitlines() if line.strip()]
        return lines[-1] if lines else f"ended with code {code}"

    def stop(self) -> None:
        """Asks it to save and end, and waits."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_with(parent: int) -> None:
    """Asks the kernel for SIGTERM when the parent is gone; Linux only."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it went in between
        os.kill(os.getpid(), signal.SIGTERM)
