"""Folders of object stores on the way to and from a local disk.

The library reads and writes models and reports on a file system. Elsewhere,
which is any path with a scheme that TensorFlow knows, such as gs://, they are
copied: whole, and only after they were written without an error.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

import tensorflow as tf


def is_remote(path: str) -> bool:
    """Whether a path is not one of a file system."""
    return "://" in path


@contextlib.contextmanager
def written(directory: str) -> Iterator[str]:
    """A local folder whose content stands in `directory` afterwards.

    Of a local `directory`: itself. What stands in another one stays, unless a
    file of the same name replaces it; after an error nothing is copied.
    """
    if not is_remote(directory):
        yield directory
        return
    with _scratch() as local:
        yield local
        copy_folder(local, directory)


@contextlib.contextmanager
def read(directory: str) -> Iterator[str]:
    """A local folder with the content of `directory`; itself, if local."""
    if not is_remote(directory):
        yield directory
        return
    with _scratch() as local:
        copy_folder(directory, local)
        yield local


def copy_folder(source: str, target: str) -> None:
    """Copies all files below a folder; folders are made."""
    for folder, _, names in tf.io.gfile.walk(source):
        below = os.path.relpath(folder, source)
        into = target if below == "." else os.path.join(target, below)
        tf.io.gfile.makedirs(into)
        for name in names:
            tf.io.gfile.copy(
                os.path.join(folder, name),
                os.path.join(into, name),
                overwrite=True,
            )


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    parent = tempfile.mkdtemp(prefix="gim-")
    try:
        yield os.path.join(parent, "folder")
    finally:
        shutil.rmtree(parent, ignore_errors=True)
