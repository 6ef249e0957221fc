"""Atomic pushes into a directory of numbered versions.

A server polls the directory and loads whatever has an integer for a name, so
a version must appear complete, by one rename. TFX's own Pusher copies in
place and loses one of two pushes within a second.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from gim_tf.errors import ExportError
from gim_tf.export.manifest import read_manifest, verify_manifest

_INCOMING = ".incoming-"
_LOCK = ".push.lock"


def push(model_dir: str, serving_dir: str) -> str:
    """Copies a SavedModel to the next version and returns its path.

    Versions count up from the largest one present. Where that one already is
    this model, whole, its path is returned: a push that was killed before it
    could be recorded is not repeated. Remains of such pushes are removed.

    Args:
      model_dir: folder of the SavedModel.
      serving_dir: folder of the versions; made if missing.

    Raises:
      ExportError: the model is missing or altered, or the directory cannot
        be written.
    """
    verify_manifest(model_dir)
    if "://" in serving_dir:
        return _push_remote(model_dir, serving_dir)
    target = Path(serving_dir)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            return str(_push_local(Path(model_dir), target))
    except OSError as error:
        raise ExportError(
            f"Cannot push to {serving_dir}: {error.strerror or error}. Free "
            "space or permissions there and run again."
        ) from error


def versions(serving_dir: str) -> list[int]:
    """Version numbers present, ascending."""
    if not tf.io.gfile.isdir(serving_dir):
        return []
    names = (n.rstrip("/") for n in tf.io.gfile.listdir(serving_dir))
    return sorted(int(name) for name in names if name.isdigit())


def _push_local(model: Path, target: Path) -> Path:
    for leftover in target.glob(f"{_INCOMING}*"):
        shutil.rmtree(leftover)
    newest = target / str(max(versions(str(target)), default=0))
    if _is_same(newest, model):
        return newest
    version = _next(str(target))
    incoming = target / f"{_INCOMING}{version}"
    try:
        shutil.copytree(model, incoming)
        for path in [*incoming.rglob("*"), incoming]:
            _sync(path)
        final = target / str(version)
        incoming.rename(final)
        _sync(target)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return final


def _is_same(version: Path, model: Path) -> bool:
    try:
        return (
            verify_manifest(version)["files"] == read_manifest(model)["files"]
        )
    except ExportError:
        return False


def _push_remote(model_dir: str, serving_dir: str) -> str:
    # Object stores cannot rename folders. A server cannot load a version
    # before its saved_model.pb is there, so that file comes last.
    final = os.path.join(serving_dir, str(_next(serving_dir)))
    last = os.path.join(model_dir, "saved_model.pb")
    for folder, _, files in tf.io.gfile.walk(model_dir):
        below = os.path.relpath(folder, model_dir)
        # No normpath: of gs://bucket it would make the local path gs:/bucket.
        into = final if below == "." else os.path.join(final, below)
        tf.io.gfile.makedirs(into)
        for name in files:
            source = os.path.join(folder, name)
            if source != last:
                tf.io.gfile.copy(source, os.path.join(into, name))
    tf.io.gfile.copy(last, os.path.join(final, "saved_model.pb"))
    return final


def _next(serving_dir: str) -> int:
    return max(versions(serving_dir), default=0) + 1


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
