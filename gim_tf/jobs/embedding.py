"""The job `embed`: representations of a few files, by an exported encoder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gim_tf.data.records import Rejected
from gim_tf.errors import DataError
from gim_tf.export.embedder import Embedder
from gim_tf.jobs.bulk_embedding import only_writer
from gim_tf.paths import local_path


def embed(
    files: Sequence[str | Path], model_dir: str | Path, output: str | Path
) -> int:
    """Writes `output` (.npz): `id` [n] and one array [n, d] a module.

    Args:
      files: as the encoder's `serving_default` reads them; recordings may be
        of any format that soundfile reads.
      model_dir: an exported encoder.
      output: replaced if it exists.

    Returns:
      n.

    Raises:
      DataError: a file cannot be read or decoded (it is named), or the
        output cannot be written, or another process writes it.
      ExportError: the export is missing or altered.
    """
    with only_writer(output):
        return _embed(files, model_dir, output)


def _embed(
    files: Sequence[str | Path], model_dir: str | Path, output: str | Path
) -> int:
    embedder = Embedder(model_dir)
    parts = []
    for start in range(0, len(files), embedder.kind.batch):
        chunk = files[start : start + embedder.kind.batch]
        found = embedder([(str(file), _content(file)) for file in chunk])
        _check(found.rejected)
        parts.append(found.features)
    arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in (parts[0] if parts else ())
    }
    path = local_path(output)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, id=np.array([str(f) for f in files]), **arrays)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"Cannot write {output}: {error.strerror}.") from error
    return len(files)


def _content(file: str | Path) -> bytes:
    try:
        if not Path(file).is_file() and Path(file).exists():
            raise DataError(f"Cannot read {file}: no regular file.")
        return Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error


def _check(rejected: Iterable[Rejected]) -> None:
    for bad in rejected:
        raise DataError(f"{bad.id} cannot be decoded: {bad.reason}.")
