"""The job `embed`: representations of a few files, by an exported encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from gim_tf.errors import DataError
from gim_tf.export.saved_model import load_encoder, signature_function

_BATCH = 64


def embed(
    files: Sequence[str | Path], model_dir: str | Path, output: str | Path
) -> int:
    """Writes `output` (.npz): `id` [n] and one array [n, d] a module.

    Args:
      files: encoded files, as the encoder's `serving_default` reads them.
      model_dir: an exported encoder.
      output: replaced if it exists.

    Returns:
      n.

    Raises:
      DataError: a file cannot be read or decoded (it is named), or the
        output cannot be written.
      ExportError: the export is missing or altered.
    """
    encode = signature_function(load_encoder(model_dir), "serving_default")
    features: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(files), _BATCH):
        chunk = files[start : start + _BATCH]
        encoded = [_bytes(file) for file in chunk]
        try:
            found = encode(tf.constant(encoded))
        except tf.errors.InvalidArgumentError:
            _name_undecodable(encode, chunk, encoded)
            raise
        for name, values in found.items():
            features.setdefault(name, []).append(values.numpy())
    arrays = {name: np.concatenate(v) for name, v in sorted(features.items())}
    try:
        with Path(output).open("wb") as file:
            np.savez(file, id=np.array([str(f) for f in files]), **arrays)
    except OSError as error:
        raise DataError(f"Cannot write {output}: {error.strerror}.") from error
    return len(files)


def _bytes(file: str | Path) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error


def _name_undecodable(
    encode: Callable[[tf.Tensor], object],
    files: Sequence[str | Path],
    encoded: Sequence[bytes],
) -> None:
    """Raises `DataError` that names the first file that cannot be decoded."""
    for file, content in zip(files, encoded, strict=True):
        try:
            encode(tf.constant([content]))
        except tf.errors.InvalidArgumentError as error:
            raise DataError(
                f"{file} cannot be decoded: it is no PNG, JPEG, BMP or GIF, "
                "or it is damaged."
            ) from error
