"""TF Serving's REST interface, as a WSGI application."""

import json
import logging
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wrappers import Request, Response

from gim_tf.errors import (
    InvalidRequestError,
    RequestTooLargeError,
    ServingError,
)
from serving.local_server import json_tensors, messages
from serving.local_server.predicting import predict
from serving.local_server.repository import ModelRepository
from serving.statuses import status_of

_LOG = logging.getLogger(__name__)
_CHUNK = 1 << 16
# A client that is still sending does not read why it was refused.
_DRAINED = 10


class _Name(BaseConverter):
    """A model's name: the colon is of the verb behind it."""

    regex = "[^/:]+"


_MODEL = "/v1/models/<name:name>"
_VERSION = f"{_MODEL}/versions/<int:version>"
_ROUTES = Map(
    [
        Rule(f"{prefix}{suffix}", endpoint=endpoint, methods=[method])
        for prefix in (_MODEL, _VERSION)
        for suffix, endpoint, method in (
            ("", "status", "GET"),
            ("/metadata", "metadata", "GET"),
            (":predict", "predict", "POST"),
        )
    ],
    converters={"name": _Name},
)


class RestApi:
    """The WSGI application; every answer is JSON, errors are {"error": text}.

    Args:
      repository: of the model.
      max_body: bytes of a request.
      max_batch: examples of a request.
    """

    def __init__(
        self, repository: ModelRepository, *, max_body: int, max_batch: int
    ) -> None:
        self._repository = repository
        self._max_body = max_body
        self._max_batch = max_batch
        self._endpoints: dict[str, Callable[..., bytes]] = {
            "status": self._status,
            "metadata": self._metadata,
            "predict": self._predict,
        }

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answers one request."""
        request = Request(environ)
        try:
            body = self._body(request)
            endpoint, arguments = _ROUTES.bind_to_environ(environ).match()
            response = _json(self._endpoints[endpoint](body, **arguments), 200)
        except HTTPException as error:
            text = f"Malformed request: {request.method} {request.path}"
            if "/labels/" in request.path:
                text += " (there are labels in TF Serving, not in gim serve)"
            response = _json(_error(text), error.code or 400)
        except ServingError as error:
            response = _json(_error(str(error)), status_of(error).http)
        except Exception:
            _LOG.exception("%s %s failed", request.method, request.path)
            response = _json(_error("Internal error; see the log."), 500)
        return response(environ, start_response)

    def _body(self, request: Request) -> bytes:
        """The whole body, read up to a limit."""
        parts, size = [], 0
        while part := request.stream.read(_CHUNK):
            size += len(part)
            if size <= self._max_body:
                parts.append(part)
            elif size > _DRAINED * self._max_body:
                break
        if size > self._max_body:
            raise RequestTooLargeError(
                f"Expected at most {self._max_body} bytes, received "
                f"{max(size, request.content_length or 0)}; send several "
                "requests."
            )
        return b"".join(parts)

    def _status(
        self, body: bytes, name: str, version: int | None = None
    ) -> bytes:
        statuses = self._repository.statuses(name, version)
        return _message(messages.status_message(statuses))

    def _metadata(
        self, body: bytes, name: str, version: int | None = None
    ) -> bytes:
        loaded = self._repository.get(name, version)
        spec = messages.model_spec(name, loaded.version)
        signatures = messages.signature_map(loaded)
        return json.dumps(
            {
                "model_spec": json.loads(_message(spec)),
                "metadata": {
                    messages.SIGNATURES: json.loads(_message(signatures))
                },
            }
        ).encode()

    def _predict(
        self, body: bytes, name: str, version: int | None = None
    ) -> bytes:
        model = self._repository.get(name, version).model
        call, by_rows = json_tensors.parse(body, model)
        arrays = predict(model, call, max_batch=self._max_batch)
        if by_rows and len({x.shape[:1] for x in arrays.values()}) > 1:
            raise InvalidRequestError(
                'The outputs have no common first dimension; send "inputs".'
            )
        return json_tensors.answer(arrays, by_rows=by_rows)


def _message(message: Any) -> bytes:
    return json_format.MessageToJson(
        message,
        including_default_value_fields=True,
        preserving_proto_field_name=True,
    ).encode()


def _error(text: str) -> bytes:
    return json.dumps({"error": text}).encode()


def _json(body: bytes, status: int) -> Response:
    return Response(body, status, mimetype="application/json")
