"""One run a directory: a lock that the system drops when its process dies."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from gim_tf.errors import CheckpointError


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the directory's lock file.

    Raises:
      CheckpointError: another process holds it.
    """
    path = directory / ".lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise CheckpointError(
                f"{directory} is in use by another run (process {owner}). "
                "Wait for it to end, or choose another output directory."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
