"""A limit on how long a process may wait inside TensorFlow for its peers.

A collective operation waits for ever for a peer that is silent but not gone.
Python cannot interrupt it: the process must end.
"""

import os
import sys
import threading

from gim_tf.errors import WorkerLostError


class Deadline:
    """Ends the process, with `message`, unless it is extended in time.

    Args:
      seconds: from now, and from each `extend`.
      message: one line, written to standard error.
    """

    def __init__(self, seconds: float, message: str) -> None:
        self._seconds = seconds
        self._message = message
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._watch, daemon=True).start()

    def extend(self) -> None:
        """All is well: the time starts anew."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """No limit any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _watch(self) -> None:
        with self._changed:
            while not self._stopped:
                if not self._changed.wait(self._seconds):
                    self._end()

    def _end(self) -> None:
        sys.stderr.write(f"gim: error: {self._message}\n")
        sys.stderr.flush()
        os._exit(WorkerLostError.exit_code)
