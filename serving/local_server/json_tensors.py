"""TF Serving's JSON of a predict request, to arrays and back.

Rows: {"instances": [one example, ...]} is answered by {"predictions": [...]}.
Columns: {"inputs": {name: batch}} is answered by {"outputs": {name: batch}}.
Bytes are {"b64": "..."}.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from gim_tf.errors import InvalidRequestError
from serving.local_server.predicting import (
    DEFAULT_SIGNATURE,
    Call,
    signature_of,
)
from serving.served_model import ServedModel

_KEYS = {"signature_name", "instances", "inputs"}


class ParsedCall(NamedTuple):
    """A call, and whether it came by rows and is answered by rows."""

    call: Call
    by_rows: bool


def parse(body: bytes, model: ServedModel) -> ParsedCall:
    """The call in the body of a request.

    Raises:
      InvalidRequestError: no JSON, or not of that form; says where.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"JSON Parse error: {str(error) or 'nested too deeply'}"
        ) from error
    if not isinstance(content, dict):
        raise InvalidRequestError(
            'Expected a JSON object with "instances" or "inputs".'
        )
    if unknown := sorted(content.keys() - _KEYS):
        raise InvalidRequestError(
            f"Expected the keys {sorted(_KEYS)}, received {unknown[0]!r} (REST "
            "has no output_filter; gRPC has)."
        )
    name = content.get("signature_name", DEFAULT_SIGNATURE)
    signature = signature_of(model, str(name))
    by_rows = "instances" in content
    if by_rows == ("inputs" in content):
        raise InvalidRequestError(
            'Expected either "instances" or "inputs", received '
            f"{'both' if by_rows else 'neither'}."
        )
    columns = (
        _columns(content["instances"], signature)
        if by_rows
        else _named(content["inputs"], signature)
    )
    inputs = {
        key: _array(key, value, signature.inputs[key])
        for key, value in columns.items()
    }
    return ParsedCall(Call(str(name), inputs), by_rows)


def answer(arrays: Mapping[str, np.ndarray], *, by_rows: bool) -> bytes:
    """The body of an answer; a single output stands without its name."""
    columns = {name: _json(name, x) for name, x in arrays.items()}
    content: Any = columns
    if by_rows:
        content = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    if len(columns) == 1:
        (content,) = columns.values()
    key = "predictions" if by_rows else "outputs"
    return json.dumps({key: content}).encode()


def _columns(instances: Any, signature: SignatureDef) -> dict[str, list]:
    """The batch of each input, from single examples."""
    if not isinstance(instances, list) or not instances:
        raise InvalidRequestError(
            'Expected a list of at least one example in "instances".'
        )
    columns: dict[str, list] = {name: [] for name in signature.inputs}
    for index, instance in enumerate(instances):
        try:
            named = _named(instance, signature)
        except InvalidRequestError as error:
            raise InvalidRequestError(
                f"Example {index + 1} of {len(instances)}: {error}"
            ) from error
        for name, value in named.items():
            columns[name].append(value)
    return columns


def _named(value: Any, signature: SignatureDef) -> dict[str, Any]:
    """{input: value}; the name of a single input may be left out."""
    names = set(signature.inputs)
    if isinstance(value, dict) and "b64" not in value:
        if value.keys() != names:
            raise InvalidRequestError(
                f"Expected the inputs {sorted(names)}, received "
                f"{sorted(value)}."
            )
        return value
    if len(names) > 1:
        raise InvalidRequestError(f"Expected an object of {sorted(names)}.")
    return {names.pop(): value}


def _array(name: str, value: Any, info: TensorInfo) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype)
    if dtype == tf.string:
        return np.array(_strings(name, value), object)
    try:
        array = np.array(value)
        if array.dtype.kind not in "iuf":
            raise ValueError(f"not only numbers of {dtype.name}")
        return array.astype(dtype.as_numpy_dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequestError(
            f"Expected an array of {dtype.name} for {name!r}: {error}."
        ) from error


def _strings(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_strings(name, one) for one in value]
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:  # half of a pair of surrogates
            raise InvalidRequestError(
                f"Expected text for {name!r}: {error}."
            ) from error
    if isinstance(value, dict) and isinstance(value.get("b64"), str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequestError(
                f"Unable to base64 decode {name!r}: {error}."
            ) from error
    raise InvalidRequestError(
        f'Expected {{"b64": "..."}} for {name!r}, received '
        f"{json.dumps(value)[:40]}."
    )


def _json(name: str, array: np.ndarray) -> Any:
    if array.dtype != object:
        return array.tolist()
    encode = _base64 if name.endswith("_bytes") else _text
    return np.vectorize(encode, otypes=[object])(array).tolist()


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}
