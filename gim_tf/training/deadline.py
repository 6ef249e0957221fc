"""A limit on how long a process may wait inside TensorFlow for its peers.

While it waits for a cluster to form, TensorFlow holds Python's lock and
catches SIGTERM: no thread of the process can end it. Another process does.
"""

import logging
import os
import subprocess
import sys

_LOG = logging.getLogger(__name__)

# Reads a byte at each sign of life; ends when the pipe is closed.
_WATCH = """
import os, select, signal, sys
seconds, watched, message = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
while select.select([0], [], [], seconds)[0]:
    if not os.read(0, 4096):
        sys.exit()
sys.stderr.write(message)
sys.stderr.flush()
os.kill(watched, signal.SIGKILL)
"""


class Deadline:
    """Kills this process, after `message`, unless it is extended in time.

    It ends as by `kill -9`, with exit code 137 in a shell.

    Args:
      seconds: from now, and from each `extend`.
      message: one line, written to standard error.
    """

    def __init__(self, seconds: float, message: str) -> None:
        words = [str(seconds), str(os.getpid()), f"gim: error: {message}\n"]
        self._watch: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this process
            bufsize=0,
        )

    def extend(self) -> None:
        """All is well: the time starts anew."""
        if self._watch is None or self._watch.stdin is None:
            return
        try:
            self._watch.stdin.write(b".")
        except BrokenPipeError:
            _LOG.warning(
                "Nothing ends this process any more if it waits for the others "
                "in vain: what would have is gone itself."
            )
            self.stop()

    def stop(self) -> None:
        """No limit any more."""
        if self._watch is not None and self._watch.stdin is not None:
            self._watch.stdin.close()
            self._watch.wait()
            self._watch = None
