"""What both interfaces do with a request: check it, run it, name the cause."""

import os
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from gim_tf.errors import InvalidRequestError, RequestTooLargeError
from serving.served_model import ServedModel

DEFAULT_SIGNATURE = "serving_default"

# More at once only take memory: half a GB for 15 s of the paper's encoder.
_RUNNING = threading.BoundedSemaphore(os.cpu_count() or 1)


class Call(NamedTuple):
    """One request, free of the interface that it came by.

    Attributes:
      signature_name: which function of the model.
      inputs: arrays by name, bytes in object arrays.
      output_filter: names of the outputs to compute; none: all.
    """

    signature_name: str
    inputs: Mapping[str, np.ndarray]
    output_filter: Sequence[str] = ()


def predict(
    model: ServedModel, call: Call, *, max_batch: int
) -> dict[str, np.ndarray]:
    """Answers a call.

    Args:
      model: stays open as long as this runs.
      call: from anywhere.
      max_batch: the most examples.

    Raises:
      InvalidRequestError: names, types, shapes or numbers that do not fit, or
        an example that the model refuses; says which.
      RequestTooLargeError: more than `max_batch` examples.
    """
    signature = signature_of(model, call.signature_name)
    _check_names(signature, call)
    sizes = {_checked(name, signature, x) for name, x in call.inputs.items()}
    if len(sizes) > 1:
        raise InvalidRequestError(
            f"Expected inputs of equally many examples, received "
            f"{sorted(sizes)}."
        )
    (size,) = sizes
    if size > max_batch:
        raise RequestTooLargeError(
            f"Expected at most {max_batch} examples, received {size}; send "
            "several requests."
        )
    with _RUNNING:
        try:
            return _run(model, call, call.inputs)
        except InvalidRequestError as error:
            raise _of_one_example(model, call, size, error) from error


def signature_of(model: ServedModel, name: str) -> SignatureDef:
    """The signature of that name.

    Raises:
      InvalidRequestError: there is none; names those that there are.
    """
    if name not in model.signatures:
        raise InvalidRequestError(
            f'Serving signature name: "{name}" not found in signature def; '
            f"there are {', '.join(sorted(model.signatures))}."
        )
    return model.signatures[name]


def _run(
    model: ServedModel, call: Call, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return model.run(call.signature_name, inputs, call.output_filter)


def _check_names(signature: SignatureDef, call: Call) -> None:
    if set(call.inputs) != set(signature.inputs):
        raise InvalidRequestError(
            f"Expected the inputs {sorted(signature.inputs)}, received "
            f"{sorted(call.inputs)}."
        )
    if unknown := set(call.output_filter) - set(signature.outputs):
        raise InvalidRequestError(
            f"Expected an output_filter of {sorted(signature.outputs)}, "
            f"received {sorted(unknown)}."
        )


def _checked(name: str, signature: SignatureDef, array: np.ndarray) -> int:
    """The number of examples of an input that fits."""
    info: TensorInfo = signature.inputs[name]
    dtype = tf.as_dtype(info.dtype)
    if tf.as_dtype(array.dtype) != dtype:
        raise InvalidRequestError(
            f"Expected {dtype.name} for {name!r}, received "
            f"{tf.as_dtype(array.dtype).name}."
        )
    shape = tf.TensorShape(info.tensor_shape)
    if not array.ndim or not shape.is_compatible_with(array.shape):
        raise InvalidRequestError(
            f"Expected the shape {shape} for {name!r}, received {array.shape}."
        )
    if not len(array):
        raise InvalidRequestError(
            f"The batch is empty; send at least one example of {name!r}."
        )
    if dtype.is_floating and not np.isfinite(array).all():
        raise InvalidRequestError(
            f"Expected finite numbers for {name!r}, received some that are not."
        )
    return len(array)


def _of_one_example(
    model: ServedModel, call: Call, size: int, error: InvalidRequestError
) -> InvalidRequestError:
    """The error again, with the first example that has it alone."""
    if size == 1:
        return error
    for index in range(size):
        alone = {k: x[index : index + 1] for k, x in call.inputs.items()}
        try:
            _run(model, call, alone)
        except InvalidRequestError as found:
            return InvalidRequestError(
                f"Example {index + 1} of {size}: {found}"
            )
    return error
