"""The gRPC client."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.types_pb2 import DataType
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.calls import (
    DTYPES,
    MESSAGE_BYTES,
    Patience,
    Signature,
    retrying,
)
from serving.statuses import error_of_grpc

ANSWER_BYTES = 64_000_000
"""Of one answer: gRPC's own default of 4 MiB is 3 s of the paper's speech."""


class GrpcClient:
    """By gRPC, without TLS: for a network that is trusted.

    Args:
      target: host:port.
      model: its name there.
      version: a number; None: the newest.
      label: of a version, instead of its number, such as "canary".
      patience: see there.
    """

    bytes_per_byte = 1.0
    message_bytes = MESSAGE_BYTES

    def __init__(
        self,
        target: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        patience: Patience,
    ) -> None:
        channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.max_receive_message_length", ANSWER_BYTES),
                # Retries are ours alone.
                ("grpc.enable_retries", 0),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.initial_reconnect_backoff_ms", 100),
            ],
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(
            channel
        )
        self._status = model_service_pb2_grpc.ModelServiceStub(channel)
        self._model = model
        self._version = version
        self._label = label
        self._patience = patience
        self._signatures: dict[str, Signature] | None = None

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature_name: str = "serving_default",
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """See `Client`."""
        request = predict_pb2.PredictRequest(output_filter=output_filter)
        self._address(request.model_spec)
        request.model_spec.signature_name = signature_name
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._answer(self._prediction.Predict, request)
        return {k: tf.make_ndarray(v) for k, v in answer.outputs.items()}

    def signatures(self) -> dict[str, Signature]:
        """See `Client`."""
        if self._signatures is None:
            self._signatures = self._asked_signatures()
        return self._signatures

    def versions(self) -> dict[int, str]:
        """The state of each version that the server knows."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._address(request.model_spec)
        answer = self._answer(self._status.GetModelStatus, request)
        names = get_model_status_pb2.ModelVersionStatus.State.Name
        return {s.version: names(s.state) for s in answer.model_version_status}

    def _asked_signatures(self) -> dict[str, Signature]:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        self._address(request.model_spec)
        answer = self._answer(self._prediction.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(found)

        def dtypes(tensors: Any) -> dict[str, Any]:
            return {k: DTYPES[DataType.Name(t.dtype)] for k, t in tensors}

        return {
            name: Signature(
                dtypes(one.inputs.items()), dtypes(one.outputs.items())
            )
            for name, one in found.signature_def.items()
            if not name.startswith("__")
        }

    def _address(self, spec: Any) -> None:
        spec.name = self._model
        if self._label is not None:
            spec.version_label = self._label
        elif self._version is not None:
            spec.version.value = self._version

    def _answer(self, method: Callable[..., Any], request: Any) -> Any:
        def once(seconds: float) -> Any:
            try:
                return method(request, timeout=seconds)
            except grpc.RpcError as error:
                raise error_of_grpc(error.code())(error.details()) from error

        return retrying(once, self._patience)
