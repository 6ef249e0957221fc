"""The checks of `gim serve-check`: whether TF Serving could answer with it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from gim_tf.errors import ExportError
from gim_tf.export.warmup import read_signatures
from serving.served_model import ServedModel

# Of these two is every request: files or records, and decoded tensors.
_REQUIRED = ("serving_default", "tensor", "examples")
_DTYPES = {
    tf.string.as_datatype_enum: "string",
    tf.float32.as_datatype_enum: "float32",
    tf.int32.as_datatype_enum: "int32",
    tf.int64.as_datatype_enum: "int64",
}


class Check(NamedTuple):
    """One check that was passed: its name, and what was found."""

    name: str
    found: str


def check(directory: str | Path) -> Iterator[Check]:
    """Checks a version and yields what was passed, cheapest first.

    Raises:
      ExportError: at the first check that is not passed; says why.
    """
    signatures = _read(directory)
    for name, one in (
        ("signatures", _names),
        ("dtypes", _dtypes),
        ("batch", _batch),
    ):
        yield Check(name, one(signatures))
    model = ServedModel(directory)
    count = len(model.manifest["files"])
    yield Check("manifest", f"{count} files as they were written")
    yield Check("loader", "loads in a TF1-style session, as in TF Serving")
    replayed = model.warm_up()
    if not replayed:
        raise ExportError(
            f"{directory} has no warm-up requests: install "
            "tensorflow-serving-api and export it again."
        )
    yield Check("warm-up", f"{replayed} requests answered")


def _read(directory: str | Path) -> dict[str, SignatureDef]:
    try:
        return read_signatures(directory)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{directory} is no exported model: {error}."
        ) from error


def _names(signatures: dict[str, SignatureDef]) -> str:
    if missing := [name for name in _REQUIRED if name not in signatures]:
        raise ExportError(
            f"There is no signature {missing[0]!r}, only "
            f"{', '.join(sorted(signatures))}; export the model again."
        )
    return ", ".join(sorted(signatures))


def _dtypes(signatures: dict[str, SignatureDef]) -> str:
    def text(where: str, tensor: TensorInfo) -> str:
        if tensor.dtype not in _DTYPES:
            raise ExportError(
                f"{where} has dtype number {tensor.dtype}; expected one of "
                f"{', '.join(_DTYPES.values())}."
            )
        return _DTYPES[tensor.dtype]

    inputs: dict[str, str] = {}
    for where, name, tensor in _tensors(signatures):
        dtype = text(where, tensor)
        bytes_like = name.endswith("_bytes") or name == "examples"
        if bytes_like and dtype != "string":
            raise ExportError(f"{where} is {dtype}; expected string.")
        if "input" in where:
            inputs[name] = dtype
    return ", ".join(f"{name} {dtype}" for name, dtype in inputs.items())


def _batch(signatures: dict[str, SignatureDef]) -> str:
    count = 0
    for where, _, tensor in _tensors(signatures):
        shape = tensor.tensor_shape
        if not shape.unknown_rank and (
            not shape.dim or shape.dim[0].size not in (-1, 0)
        ):
            sizes = [side.size for side in shape.dim]
            raise ExportError(
                f"{where} has shape {sizes}; expected a leading batch "
                "dimension of any size."
            )
        count += 1
    return f"{count} tensors lead with one of any size"


def _tensors(
    signatures: dict[str, SignatureDef],
) -> Iterator[tuple[str, str, TensorInfo]]:
    """(where, name, tensor) of each input and output."""
    sides: tuple[tuple[str, Callable], ...] = (
        ("input", lambda signature: signature.inputs),
        ("output", lambda signature: signature.outputs),
    )
    for signature_name, signature in sorted(signatures.items()):
        for side, tensors in sides:
            for name, tensor in tensors(signature).items():
                yield f"{signature_name}: {side} {name!r}", name, tensor
