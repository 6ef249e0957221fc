"""An exported model of recordings that decodes FLAC besides WAV.

By an operation of tensorflow-io, which a stock TF Serving lacks: so it is a
model of its own, beside the one that loads anywhere.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from gim_tf.data import flac
from gim_tf.errors import ExportError
from gim_tf.export.inputs import Features, not_empty
from gim_tf.export.sequences import BYTES, by_bytes_and_examples


class FlacVariant(tf.Module):
    """A loaded model of recordings, whose signatures accept FLAC too.

    All signatures have the names, inputs and answers of the model's own. A
    FLAC file of 16 bits becomes a WAV file in the graph, without loss, and the
    model's own signature has the rest: graph, weights and refusals.

    Args:
      model: what `tf.saved_model.load` returned for a `SequenceEncoder` or a
        `SequenceClassifier`.

    Raises:
      ExportError: the model is of no recordings.
    """

    def __init__(self, model: tf.Module) -> None:
        super().__init__()
        self.model = model
        own: Mapping[str, Any] = model.signatures
        self.added: dict[str, Callable] = {}
        for name, signature in own.items():
            if BYTES in signature.structured_input_signature[1]:
                self.added.update(
                    by_bytes_and_examples(name, _transcoding(signature))
                )
        if not self.added:
            raise ExportError(
                f"No signature takes {BYTES!r}: only an export of an encoder "
                "of recordings has a FLAC variant."
            )

    def signatures(self) -> dict[str, Callable]:
        """Name -> function, for `tf.saved_model.save`."""
        return {**self.model.signatures, **self.added}


def _transcoding(signature: Callable) -> Callable[[tf.Tensor], Features]:
    def answer(files: tf.Tensor) -> Features:
        wavs = tf.map_fn(
            flac.to_wav,
            not_empty(files),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        return signature(**{BYTES: wavs})

    return answer
