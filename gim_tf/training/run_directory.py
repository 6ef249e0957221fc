"""One run, one directory: its configuration, its lock and its history."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from gim_tf.config import differing_keys
from gim_tf.errors import CheckpointError, GimError
from gim_tf.paths import (
    AnyPath,
    Place,
    RemotePath,
    append_text,
    as_path,
    write_whole,
)

CONFIG = "config.json"
IMPORTED = "imported.json"
_HISTORY = "history.jsonl"
_LOCK = "run.lock"
_POLL_SECONDS = 0.3
_LOG = logging.getLogger(__name__)


class RunDirectory:
    """The files of one training run, apart from its checkpoints.

    Args:
      path: created if missing; of a file system, or a URL.

    Raises:
      CheckpointError: it cannot be created or written.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = as_path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"Cannot create {self.path}: {error.strerror}."
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the directory; the kernel lets go of a dead process's lock.

        Behind a URL nothing is held, since object stores have no locks that
        end with a process: whoever starts the jobs sees to it that there is
        one a directory.

        Raises:
          CheckpointError: another process is at work here.
        """
        if isinstance(self.path, RemotePath):
            _LOG.info(
                "%s cannot be locked: start no second job on it.", self.path
            )
            yield
            return
        with held(self.path / _LOCK, self.path, CheckpointError):
            yield

    def wait_until_free(self, seconds: float) -> None:
        """Waits for a process that was told to end and is saving still.

        Raises:
          CheckpointError: it is at work here after so many seconds.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                with self.locked():
                    return
            except CheckpointError:
                if time.monotonic() > until:
                    raise
            time.sleep(_POLL_SECONDS)

    def bind(
        self,
        config: Mapping[str, Any],
        renewed: Callable[[dict[str, Any]], Mapping[str, Any]] = dict,
    ) -> None:
        """Records the configuration, or compares it with the recorded one.

        Args:
          config: plain JSON values.
          renewed: brings a record of an earlier version to the form of
            `config`, so that a setting that is new since is no difference.

        Raises:
          CheckpointError: they differ; names the keys.
        """
        if not (self.path / CONFIG).exists():
            self.write_json(CONFIG, config)
            return
        changed = differing_keys(renewed(self.config()), config)
        if changed:
            raise CheckpointError(
                f"{self.path} was started with other settings "
                f"({', '.join(changed)}). Use the same ones, or another "
                "directory."
            )

    def config(self) -> dict[str, Any]:
        """The recorded configuration.

        Raises:
          CheckpointError: it is missing or damaged.
        """
        path = self.path / CONFIG
        try:
            return _json_object(path)
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path} is missing or damaged ({error}). Restore it, or "
                f"remove {self.path} to start over."
            ) from error

    def imported(self) -> dict[str, Any]:
        """Where weights that were not trained here came from, else {}.

        Raises:
          CheckpointError: the record is damaged.
        """
        path = self.path / IMPORTED
        try:
            return _json_object(path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error}). Import the weights again, into "
                "another directory."
            ) from error

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a JSON file whole or not at all."""
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        with _disk_errors(self.path / name):
            write_whole(self.path / name, text)

    def history(self) -> list[dict[str, Any]]:
        """All whole lines of the log, oldest first."""
        path = self.path / _HISTORY
        lines = path.read_bytes().splitlines() if path.exists() else []
        parsed: list[dict[str, Any]] = []
        for line in lines:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                break  # a line that a kill cut short, and so the last
            if not isinstance(found, dict) or not isinstance(
                found.get("step"), int
            ):
                break  # no line of ours
            parsed.append(found)
        return parsed

    def rewind_history(self, step: int) -> list[dict[str, Any]]:
        """Drops the lines after a step, which will be trained again."""
        kept = [line for line in self.history() if line["step"] <= step]
        path = self.path / _HISTORY
        with _disk_errors(path):
            write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
        return kept

    def append_history(self, line: Mapping[str, Any]) -> None:
        """Adds one line to the log."""
        path = self.path / _HISTORY
        with _disk_errors(path):
            append_text(path, json.dumps(line) + "\n")


def _json_object(path: Place) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, received {str(found)[:40]!r}")
    return found


@contextmanager
def held(
    path: Path,
    what: Path,
    error: type[GimError],
    *,
    remove: bool = False,
) -> Iterator[None]:
    """Holds a lock file; the kernel lets go of a dead process's lock.

    Args:
      path: the file, made if missing.
      what: is written meanwhile, for the message.
      error: raised where another process holds the file.
      remove: whether the file goes in the end.
    """
    with _locked(path, what, error) as lock:
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        try:
            yield
        finally:
            if remove:
                path.unlink(missing_ok=True)


def _locked(path: Path, what: Path, error: type[GimError]) -> TextIO:
    while True:
        try:
            lock = path.open("a+")
        except OSError as reason:
            raise error(
                f"Cannot write in {path.parent}: {reason.strerror}."
            ) from reason
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as reason:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise error(
                f"{what} is in use by process {owner}; wait for it, or "
                "write elsewhere."
            ) from reason
        except OSError as reason:
            lock.close()
            raise error(
                f"Cannot lock {path}: {reason.strerror}. Write on a file "
                "system that has locks."
            ) from reason
        if _is_at(path, lock):
            return lock
        lock.close()  # its holder removed it after it was opened here


def _is_at(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def _disk_errors(path: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"Cannot write {path}: {error.strerror}. Checkpoints are whole; "
            "run again to resume."
        ) from error
