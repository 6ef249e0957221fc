"""The job `embed`: representations of a few files, by an exported encoder."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.data.sources.verify import UnreadableError
from gim_tf.data.wav import to_wav
from gim_tf.errors import DataError
from gim_tf.export import sequences, signatures
from gim_tf.export.saved_model import (
    input_name,
    load_encoder,
    signature_function,
)


class _Kind(NamedTuple):
    """What an encoder takes.

    Attributes:
      formats: of the files, for a message.
      prepare: from a file's bytes to those that the encoder decodes.
      batch: files that are encoded at once.
    """

    formats: str
    prepare: Callable[[bytes], bytes]
    batch: int


_KINDS = {
    signatures.BYTES: _Kind("PNG, JPEG, BMP or GIF", lambda file: file, 64),
    # Encoded one after the other in any case: one at a time takes less memory.
    sequences.BYTES: _Kind("WAV, FLAC or OGG file", to_wav, 1),
}
_REASON = re.compile(r"assertion failed: \[(.*)\]")


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
        output cannot be written.
      ExportError: the export is missing or altered.
    """
    loaded = load_encoder(model_dir)
    encode = signature_function(loaded, "serving_default")
    kind = _KINDS[input_name(loaded, "serving_default")]
    features: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(files), kind.batch):
        chunk = files[start : start + kind.batch]
        encoded = [_prepared(file, kind) for file in chunk]
        try:
            found = encode(tf.constant(encoded))
        except tf.errors.InvalidArgumentError:
            _name_undecodable(encode, kind, chunk, encoded)
            raise
        for name, values in found.items():
            if values.shape.rank == 2:  # neither frames nor their number
                features.setdefault(name, []).append(values.numpy())
    arrays = {name: np.concatenate(v) for name, v in sorted(features.items())}
    try:
        with Path(output).open("wb") as file:
            np.savez(file, id=np.array([str(f) for f in files]), **arrays)
    except OSError as error:
        raise DataError(f"Cannot write {output}: {error.strerror}.") from error
    return len(files)


def _prepared(file: str | Path, kind: _Kind) -> bytes:
    try:
        return kind.prepare(Path(file).read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error
    except UnreadableError as error:
        raise DataError(f"{file} cannot be decoded: {error}.") from error


def _name_undecodable(
    encode: Callable[[tf.Tensor], object],
    kind: _Kind,
    files: Sequence[str | Path],
    encoded: Sequence[bytes],
) -> None:
    """Raises `DataError` that names the first file that cannot be decoded."""
    for file, content in zip(files, encoded, strict=True):
        try:
            encode(tf.constant([content]))
        except tf.errors.InvalidArgumentError as error:
            reason = _REASON.search(error.message)
            why = (
                reason[1].replace("] [", " ")
                if reason
                else f"it is no {kind.formats}, or it is damaged"
            )
            raise DataError(f"{file} cannot be decoded: {why}.") from error
