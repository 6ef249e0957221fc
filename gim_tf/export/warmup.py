"""Requests that TF Serving replays before a version takes traffic.

The first run of a graph is slow: kernels are chosen and memory is found. A
server runs these requests at loading, so that no client waits for it.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from gim_tf.data import pcm, records, wav
from gim_tf.export import sequences, signatures
from gim_tf.export.inputs import EXAMPLES

ASSET = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TF Serving looks for them, below a version's directory."""

BATCHES = (1, 2)
"""One request of each size a signature; a server takes 1,000 in all."""

_LOG = logging.getLogger(__name__)
_WARMED = ("serving_default", "classify")


def write_warmup(directory: str | Path, facts: Mapping[str, Any]) -> None:
    """Writes requests for the signatures of encoded files and of records.

    Those are `serving_default` and all that begin with `classify`. The files
    in them are synthetic: a grey picture of the model's size, or a second of a
    quiet tone at its sample rate. Without tensorflow-serving-api, or where a
    model takes other files, nothing is written and a line of the log says so.

    Args:
      directory: of the SavedModel.
      facts: of its manifest; `facts["frames"]` has the rate of recordings.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError:
        _LOG.info(
            "No warm-up requests: tensorflow-serving-api is not installed."
        )
        return
    known = read_signatures(directory)
    file = _synthetic_file(known, facts)
    if file is None:
        _LOG.info("No warm-up requests: no signature takes encoded files.")
        return
    path = Path(directory) / ASSET
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, argument, batch in _requests(known, file):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = "warmup"
            request.model_spec.signature_name = name
            request.inputs[argument].CopyFrom(tf.make_tensor_proto(batch))
            writer.write(log.SerializeToString(deterministic=True))


def read_signatures(directory: str | Path) -> dict[str, SignatureDef]:
    """The signatures of a SavedModel by name, read without loading it.

    Raises:
      OSError: there is no such file.
      ValueError: it is no SavedModel, or one of several graphs.
    """
    model = SavedModel()
    path = Path(directory) / "saved_model.pb"
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own, whichever implementation
        if isinstance(error, OSError):
            raise
        raise ValueError(f"{path} is no SavedModel") from error
    (meta,) = model.meta_graphs
    return {
        name: signature
        for name, signature in meta.signature_def.items()
        if not name.startswith("__")  # "__saved_model_init_op"
    }


def _requests(
    known: Mapping[str, SignatureDef], file: bytes
) -> Iterator[tuple[str, str, list[bytes]]]:
    """(signature, input, batch) of each request."""
    record = records.to_example(records.Record("warmup", -1, "warmup", file))
    for name in sorted(known):
        if name.startswith(_WARMED):
            (argument,) = known[name].inputs
            one = record if argument == EXAMPLES else file
            for size in BATCHES:
                yield name, argument, [one] * size


def _synthetic_file(
    known: Mapping[str, SignatureDef], facts: Mapping[str, Any]
) -> bytes | None:
    """A file that the model can encode; None: of no known kind."""
    default = known.get("serving_default", SignatureDef())
    if signatures.BYTES in default.inputs:
        decoded = known["tensor"].inputs[signatures.TENSOR].tensor_shape
        shape = [side.size for side in decoded.dim[1:]]
        grey = np.full(shape, 128, np.uint8)
        return tf.io.encode_png(grey).numpy()
    if sequences.BYTES in default.inputs and "frames" in facts:
        rate = facts["frames"]["sample_rate"]
        length = max(rate, facts["frames"]["min_samples"])
        tone = np.sin(np.arange(length) * 2 * np.pi * 440 / rate)
        return wav.to_wav(pcm.encode((tone * 3000).astype(np.int16), rate))
    return None
