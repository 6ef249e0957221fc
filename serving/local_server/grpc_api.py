"""TF Serving's gRPC services, on the messages of TF Serving itself."""

import logging
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from gim_tf.errors import InvalidRequestError, ServingError
from serving.local_server import messages
from serving.local_server.predicting import DEFAULT_SIGNATURE, Call, predict
from serving.local_server.repository import ModelRepository
from serving.served_model import arrays
from serving.statuses import status_of

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the other calls are UNIMPLEMENTED.

    Args:
      repository: of the model.
      max_batch: examples of a request.
    """

    def __init__(self, repository: ModelRepository, max_batch: int) -> None:
        self._repository = repository
        self._max_batch = max_batch

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Runs a signature on the inputs of the request."""
        return _answered(lambda: self._predict(request), context)

    def GetModelMetadata(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """The signatures."""
        return _answered(lambda: self._metadata(request), context)

    def _predict(self, request: Any) -> predict_pb2.PredictResponse:
        spec = request.model_spec
        loaded = self._repository.get(spec.name, _version(spec))
        name = spec.signature_name or DEFAULT_SIGNATURE
        try:
            inputs = arrays(request)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"An input is no tensor: {error}."
            ) from error
        found = predict(
            loaded.model,
            Call(name, inputs, tuple(request.output_filter)),
            max_batch=self._max_batch,
        )
        response = predict_pb2.PredictResponse(
            model_spec=messages.model_spec(spec.name, loaded.version, name)
        )
        for key, array in found.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(array))
        return response

    def _metadata(
        self, request: Any
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if list(request.metadata_field) != [messages.SIGNATURES]:
            raise InvalidRequestError(
                f"Expected the metadata_field {messages.SIGNATURES!r}, "
                f"received {list(request.metadata_field)}."
            )
        spec = request.model_spec
        loaded = self._repository.get(spec.name, _version(spec))
        response = get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=messages.model_spec(spec.name, loaded.version)
        )
        response.metadata[messages.SIGNATURES].Pack(
            messages.signature_map(loaded)
        )
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; configurations are not reloaded, there is none.

    Args:
      repository: of the model.
    """

    def __init__(self, repository: ModelRepository) -> None:
        self._repository = repository

    def GetModelStatus(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Any:
        """What the versions are doing."""
        return _answered(lambda: self._status(request.model_spec), context)

    def _status(self, spec: model_pb2.ModelSpec) -> Any:
        found = self._repository.statuses(spec.name, _version(spec))
        return messages.status_message(found)


def _version(spec: model_pb2.ModelSpec) -> int | None:
    if spec.version_label:
        raise InvalidRequestError(
            f"Received the version label {spec.version_label!r}; there are "
            "labels in TF Serving, not in gim serve."
        )
    return spec.version.value if spec.HasField("version") else None


def _answered(
    answer: Callable[[], _Answer], context: grpc.ServicerContext
) -> _Answer:
    try:
        return answer()
    except ServingError as error:
        _abort(context, status_of(error).grpc, str(error))
    except Exception:
        _LOG.exception("A call failed")
        _abort(
            context, grpc.StatusCode.INTERNAL, "Internal error; see the log."
        )


def _abort(
    context: grpc.ServicerContext, code: grpc.StatusCode, text: str
) -> NoReturn:
    context.abort(code, text)
    raise RuntimeError("not reached: abort raises")
