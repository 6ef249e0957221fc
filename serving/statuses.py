"""One table of errors: ours, HTTP's and gRPC's, as TF Serving maps them."""

from http import HTTPStatus
from typing import NamedTuple

import grpc

from gim_tf.errors import (
    DeadlineError,
    InvalidRequestError,
    ModelNotFoundError,
    RequestTooLargeError,
    ServingError,
    UnavailableError,
)

_HTTP, _GRPC = HTTPStatus, grpc.StatusCode


class Status(NamedTuple):
    """One error under its three names."""

    error: type[ServingError]
    http: int
    grpc: grpc.StatusCode


# The first that fits is sent, and the first that was received is raised.
_TABLE = (
    Status(
        RequestTooLargeError,
        _HTTP.REQUEST_ENTITY_TOO_LARGE,
        _GRPC.RESOURCE_EXHAUSTED,
    ),
    Status(InvalidRequestError, _HTTP.BAD_REQUEST, _GRPC.INVALID_ARGUMENT),
    Status(ModelNotFoundError, _HTTP.NOT_FOUND, _GRPC.NOT_FOUND),
    Status(UnavailableError, _HTTP.SERVICE_UNAVAILABLE, _GRPC.UNAVAILABLE),
    Status(DeadlineError, _HTTP.GATEWAY_TIMEOUT, _GRPC.DEADLINE_EXCEEDED),
    Status(InvalidRequestError, _HTTP.METHOD_NOT_ALLOWED, _GRPC.UNIMPLEMENTED),
    Status(ServingError, _HTTP.INTERNAL_SERVER_ERROR, _GRPC.INTERNAL),
)


def status_of(error: Exception) -> Status:
    """What to send for an error; for one that is not ours, the last row."""
    return next((s for s in _TABLE if isinstance(error, s.error)), _TABLE[-1])


def error_of_http(code: int) -> type[ServingError]:
    """What to raise for an HTTP status that is no success."""
    return next((s.error for s in _TABLE if s.http == code), ServingError)


def error_of_grpc(code: grpc.StatusCode) -> type[ServingError]:
    """What to raise for a gRPC status that is not OK."""
    return next((s.error for s in _TABLE if s.grpc == code), ServingError)
