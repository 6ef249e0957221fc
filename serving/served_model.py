"""A version of a model as TF Serving holds it: a session, and signatures."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from gim_tf.accelerators import grow_gpu_memory
from gim_tf.errors import ExportError, InvalidRequestError
from gim_tf.export.saved_model import verified
from gim_tf.export.warmup import ASSET, read_signatures

_TAGS = ("serve",)
_MOST_VALUES = 1 << 22  # 16 MiB of float32
# "Graph execution error:\n\n<reason>\n\t [[{{node ...}}]]", and of several
# nodes "2 root error(s) found.\n  (0) INVALID_ARGUMENT: <reason> ...".
_BEFORE = re.compile(r"^Graph execution error:\s*|^.*\(0\) \w+: ", re.DOTALL)
_BEHIND = re.compile(r"\s*\[\[\{\{.*|\s*\[Op:.*", re.DOTALL)
_ASSERTION = re.compile(r"^assertion failed: \[(.*)\]", re.DOTALL)


class ServedModel:
    """A verified export, through the TF1-style loader that TF Serving uses.

    Calls may come from many threads. The session closes with the object's
    last reference: what is being answered is answered by it.

    Args:
      directory: of one version.

    Raises:
      ExportError: missing, altered, or no loadable SavedModel.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.manifest = verified(directory)
        grow_gpu_memory()  # the version before may still be there
        graph = tf.Graph()
        try:
            self.signatures = read_signatures(directory)
            with graph.as_default():
                self._session = tf.compat.v1.Session(graph=graph)
                tf.compat.v1.saved_model.loader.load(
                    self._session, _TAGS, str(directory)
                )
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ExportError(
                f"{directory} cannot be loaded: {reason(error)}."
            ) from error

    def run(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Answers of one signature.

        Args:
          signature_name: of a signature that is there.
          inputs: all that it takes, by name.
          outputs: those to compute; all, if none is named.

        Raises:
          InvalidRequestError: the graph refused the inputs; says why.
        """
        signature = self.signatures[signature_name]
        names = {
            name: tensor.name
            for name, tensor in signature.outputs.items()
            if not outputs or name in outputs
        }
        feeds = {signature.inputs[name].name: x for name, x in inputs.items()}
        try:
            return self._session.run(names, feeds)
        except tf.errors.InvalidArgumentError as error:
            raise InvalidRequestError(reason(error)) from error

    def warm_up(self) -> int:
        """Runs the requests that were exported with the model.

        Returns:
          How many there were.

        Raises:
          ExportError: one cannot be read, or is refused by the model.
        """
        path = self.directory / ASSET
        if not path.exists():
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        count = 0
        try:
            for record in tf.data.TFRecordDataset(
                str(path)
            ).as_numpy_iterator():
                log = prediction_log_pb2.PredictionLog.FromString(record)
                request = log.predict_log.request
                self.run(request.model_spec.signature_name, arrays(request))
                count += 1
        except Exception as error:  # protobuf's own errors among them
            raise ExportError(
                f"Request {count + 1} of {path} cannot be replayed: "
                f"{reason(error)}."
            ) from error
        return count


def arrays(request: Any) -> dict[str, np.ndarray]:
    """The inputs of a PredictRequest.

    Raises:
      ValueError: what is said of a tensor does not fit what it holds. A single
        value that stands for millions is refused before they are made.
      TypeError: a type without arrays.
    """
    for name, tensor in request.inputs.items():
        count = math.prod(axis.size for axis in tensor.tensor_shape.dim)
        # One value may stand for all, as `tf.make_tensor_proto` writes them.
        if count > max(tensor.ByteSize(), _MOST_VALUES):
            raise ValueError(
                f"{name!r} has {tensor.ByteSize()} bytes, its shape {count} "
                "values"
            )
    return {k: tf.make_ndarray(v) for k, v in request.inputs.items()}


def reason(error: Exception) -> str:
    """What went wrong in a graph, in one line and without its node names."""
    text = getattr(error, "message", None) or str(error)
    text = _BEHIND.sub("", _BEFORE.sub("", text))
    if assertion := _ASSERTION.search(text):
        # The first sentence, and the values that belong to it.
        said, *values = assertion[1].split("] [")
        text = (
            said if said.rstrip().endswith(".") else " ".join([said, *values])
        )
    line = " ".join(text.split())
    return line.rstrip(". ") or type(error).__name__
