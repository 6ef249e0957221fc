"""Representations of encoded files by a loaded export, damaged ones named."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf.data.records import Rejected
from gim_tf.data.sources.verify import UnreadableError, as_stored
from gim_tf.data.wav import to_wav
from gim_tf.export import sequences, signatures
from gim_tf.export.saved_model import (
    input_name,
    load_encoder,
    signature_function,
)

_REASON = re.compile(r"assertion failed: \[(.*)\]")


class Kind(NamedTuple):
    """What an encoder takes.

    Attributes:
      formats: of the files, for a message.
      suffixes: their lower-case endings.
      prepare: from a file's bytes to those that the encoder decodes.
      batch: files that are encoded at once.
      shard: files whose representations are written at once.
    """

    formats: str
    suffixes: tuple[str, ...]
    prepare: Callable[[bytes], bytes]
    batch: int
    shard: int


KINDS = {
    signatures.BYTES: Kind(
        "PNG, JPEG, BMP or GIF",
        (".png", ".jpg", ".jpeg", ".bmp", ".gif"),
        as_stored,
        64,
        512,
    ),
    # Encoded one after the other in any case: one at a time takes less memory.
    # 64 of 12 s take a minute of a core through the paper's encoder.
    sequences.BYTES: Kind(
        "WAV, FLAC or OGG file", (".wav", ".flac", ".ogg"), to_wav, 1, 64
    ),
}
"""By the name of the input of `serving_default`."""


class Embedded(NamedTuple):
    """What became of some files.

    Attributes:
      kept: positions of those that were encoded, ascending.
      features: by module, [k, d] float32, k of the kept ones.
      rejected: the others.
    """

    kept: list[int]
    features: dict[str, np.ndarray]
    rejected: list[Rejected]


class Embedder:
    """An exported encoder, loaded, for any number of batches.

    Args:
      model_dir: the export.

    Attributes:
      kind: what it takes.

    Raises:
      ExportError: the export is missing or altered.
    """

    def __init__(self, model_dir: str | Path) -> None:
        loaded = load_encoder(model_dir)
        self._encode = signature_function(loaded, "serving_default")
        self.kind = KINDS[input_name(loaded, "serving_default")]
        self._widths = _widths(loaded)

    def __call__(self, files: Sequence[tuple[str, bytes]]) -> Embedded:
        """Encodes files in batches of `kind.batch`, in order.

        Args:
          files: (name, content) of each; none is well, too.
        """
        parts = [{n: np.empty((0, d), "f") for n, d in self._widths.items()}]
        kept: list[int] = []
        rejected: list[Rejected] = []
        for start in range(0, len(files), self.kind.batch):
            found = self._batch(files[start : start + self.kind.batch])
            kept += [start + position for position in found.kept]
            rejected += found.rejected
            if found.kept:
                parts.append(found.features)
        features = {
            name: np.concatenate([part[name] for part in parts])
            for name in self._widths
        }
        return Embedded(kept, features, rejected)

    def _batch(self, files: Sequence[tuple[str, bytes]]) -> Embedded:
        ready: dict[int, bytes] = {}
        rejected: dict[int, str] = {}
        for position, (_, content) in enumerate(files):
            try:
                ready[position] = self.kind.prepare(content)
            except UnreadableError as error:
                rejected[position] = str(error)
        features: dict[str, np.ndarray] = {}
        try:
            features = self._features(ready.values())
        except tf.errors.InvalidArgumentError:
            bad = self._undecodable(ready)
            if not bad:
                raise
            rejected |= bad
            ready = {k: v for k, v in ready.items() if k not in bad}
            features = self._features(ready.values())
        return Embedded(
            sorted(ready),
            features,
            [Rejected(files[i][0], why) for i, why in sorted(rejected.items())],
        )

    def _features(self, contents: Any) -> dict[str, np.ndarray]:
        if not contents:
            return {}
        found = self._encode(tf.constant(list(contents)))
        return {name: found[name].numpy() for name in self._widths}

    def _undecodable(self, ready: Mapping[int, bytes]) -> dict[int, str]:
        """Why each that cannot be decoded alone cannot."""
        found = {}
        for position, content in ready.items():
            try:
                self._encode(tf.constant([content]))
            except tf.errors.InvalidArgumentError as error:
                reason = _REASON.search(error.message)
                found[position] = (
                    reason[1].replace("] [", " ")
                    if reason
                    else f"it is no {self.kind.formats}, or it is damaged"
                )
        return found


def takes(manifest: Mapping[str, Any]) -> str:
    """Name of the input of `serving_default`, by the export's manifest."""
    return sequences.BYTES if "frames" in manifest else signatures.BYTES


def _widths(loaded: Any) -> dict[str, int]:
    """The pooled representations by depth, and their numbers of channels."""
    outputs = loaded.signatures["serving_default"].structured_outputs
    found = {
        name: int(spec.shape[1])
        for name, spec in outputs.items()
        if len(spec.shape) == 2  # neither frames nor their number
    }
    return dict(sorted(found.items(), key=lambda one: _number(one[0])))


def _number(module: str) -> int:
    return int(module.rpartition("_")[2])
