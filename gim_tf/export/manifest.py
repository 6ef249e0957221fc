"""manifest.json of an export: what it is, and the sha256 of every file."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from gim_tf.errors import ExportError
from gim_tf.paths import AnyPath, Place, as_path, files_below

NAME = "manifest.json"
_PACKAGES = (
    "gim_tf",
    "tensorflow",
    "keras",
    "numpy",
    "tfx",
    "apache-beam",
)


def write_manifest(directory: AnyPath, facts: Mapping[str, Any]) -> None:
    """Writes `manifest.json` over all files that lie in the directory now.

    Args:
      directory: of the SavedModel.
      facts: what else to record, such as the configuration.
    """
    directory = as_path(directory)
    content = {
        **facts,
        "versions": versions(),
        "files": _hashes(directory),
    }
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    (directory / NAME).write_text(text)


def read_manifest(directory: AnyPath) -> dict[str, Any]:
    """The manifest of an export.

    Raises:
      ExportError: there is none, or it is no JSON.
    """
    path = as_path(directory) / NAME
    try:
        manifest = json.loads(path.read_text())
        if not isinstance(manifest, dict) or not isinstance(
            manifest.get("files"), dict
        ):
            raise ValueError('no "files"')
        return manifest
    except FileNotFoundError as error:
        raise ExportError(
            f"{directory} is no exported encoder: it has no {NAME}."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{path} cannot be read: {error}.") from error


def verify_manifest(directory: AnyPath) -> dict[str, Any]:
    """The manifest, once every file has been found as it was written.

    Raises:
      ExportError: a file is missing, altered or extra; names the first.
    """
    manifest = read_manifest(directory)
    recorded, found = manifest["files"], _hashes(as_path(directory))
    for name in sorted(recorded.keys() | found.keys()):
        if recorded.get(name) != found.get(name):
            state = (
                "missing"
                if name not in found
                else "not in the manifest"
                if name not in recorded
                else "altered"
            )
            raise ExportError(
                f"{as_path(directory) / name} is {state}; export it again."
            )
    return manifest


def versions() -> dict[str, str]:
    """Versions of the interpreter and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def file_sha256(path: Place) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _hashes(directory: Place) -> dict[str, str]:
    return {
        name: file_sha256(directory / name)
        for name in files_below(directory)
        if name.rpartition("/")[2] != NAME
    }
