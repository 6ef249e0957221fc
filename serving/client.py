"""Clients of a served model, TF Serving or `gim serve`, by REST and by gRPC.

client = connect("http://127.0.0.1:8501", "gim")   # or "grpc://...:8500"
features = encode_files(client, [Path("a.png").read_bytes()])
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from gim_tf.errors import (
    ConfigError,
    InvalidRequestError,
    RequestTooLargeError,
)
from serving.calls import Patience, Signature, known_signature


class Client(Protocol):
    """What both clients offer; calls may come from many threads.

    Attributes:
      bytes_per_byte: of a file, as it is sent.
      message_bytes: that a request may have.
    """

    bytes_per_byte: float
    message_bytes: int

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature_name: str = "serving_default",
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Answers of a signature.

        Args:
          inputs: batches by name; lists of bytes, or arrays.
          signature_name: which function.
          output_filter: names of the outputs that are wanted; none: all.

        Raises:
          ServingError: see its subclasses.
        """

    def signatures(self) -> dict[str, Signature]:
        """The signatures of the model, asked for once."""

    def versions(self) -> dict[int, str]:
        """The state of each version that the server knows."""


def connect(
    url: str,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    patience: Patience | None = None,
) -> Client:
    """A client by the scheme of its URL.

    Args:
      url: such as http://127.0.0.1:8501 or grpc://127.0.0.1:8500, or of an
        endpoint, vertex://projects/P/locations/R/endpoints/N.
      model: its name on the server; of an endpoint, which does not tell its
        signatures, the folder of the export that is deployed there.
      version: a number; None: the newest.
      label: of a version, instead of its number, such as "canary".
      patience: see there.

    Raises:
      ConfigError: another scheme.
    """
    patience = patience or Patience()
    scheme, host = urlsplit(url)[:2]
    if scheme in ("http", "https"):
        from serving.rest_client import RestClient

        return RestClient(
            url, model, version=version, label=label, patience=patience
        )
    if scheme == "grpc":
        from serving.grpc_client import GrpcClient

        return GrpcClient(
            host, model, version=version, label=label, patience=patience
        )
    if scheme == "vertex":
        from serving.vertex_client import VertexClient

        return VertexClient(
            url.removeprefix("vertex://"), model, patience=patience
        )
    raise ConfigError(
        f"Expected a URL like http://host:8501 or grpc://host:8500, received "
        f"{url!r}."
    )


def encode_files(
    client: Client,
    files: Sequence[bytes],
    *,
    signature_name: str = "serving_default",
    output_filter: Sequence[str] = (),
    max_bytes: int | None = None,
    max_files: int = 64,
) -> dict[str, np.ndarray]:
    """Answers for any number of files, in requests of a bounded size.

    Where answers have an axis of time, shorter ones are padded as the model
    itself does: with 0, the index -1 and empty names.

    Args:
      client: of either kind.
      files: encoded pictures, or recordings.
      signature_name: one that takes files, such as "classify".
      output_filter: names of the outputs that are wanted; none: all.
      max_bytes: of a request; None: what the client says.
      max_files: of a request.

    Raises:
      RequestTooLargeError: a single file is larger than a request may be.
      ServingError: see its subclasses.
    """
    (name,) = known_signature(client.signatures(), signature_name).inputs
    room = int((max_bytes or client.message_bytes) / client.bytes_per_byte)
    answers = [
        client.predict(
            {name: batch},
            signature_name=signature_name,
            output_filter=output_filter,
        )
        for batch in batches(files, room, max_files)
    ]
    return {key: _joined([a[key] for a in answers]) for key in answers[0]}


def batches(
    files: Sequence[bytes], max_bytes: int, max_files: int
) -> Iterator[list[bytes]]:
    """The files in order, as many together as fit.

    Raises:
      InvalidRequestError: there is none.
      RequestTooLargeError: one does not fit alone.
    """
    if not files:
        raise InvalidRequestError("Expected at least one file.")
    batch: list[bytes] = []
    size = 0
    for index, file in enumerate(files):
        if len(file) > max_bytes:
            raise RequestTooLargeError(
                f"File {index + 1} has {len(file)} bytes; a request holds "
                f"{max_bytes}. Cut it, or raise max_bytes here and the limit "
                "of the server."
            )
        if batch and (size + len(file) > max_bytes or len(batch) == max_files):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += len(file)
    yield batch


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Batches one after the other, padded to the longest of axis 1."""
    if parts[0].ndim < 2:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    kind = parts[0].dtype.kind
    padding: Any = b"" if kind == "O" else -1 if kind == "i" else 0
    return np.concatenate(
        [
            np.pad(
                part,
                [
                    (0, longest - part.shape[1] if axis == 1 else 0)
                    for axis in range(part.ndim)
                ],
                constant_values=padding,
            )
            for part in parts
        ]
    )
