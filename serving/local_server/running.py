"""Runs both interfaces of one model until a signal ends them."""

import signal
import socket
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import grpc
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from werkzeug.serving import (
    BaseWSGIServer,
    WSGIRequestHandler,
    make_server,
)
from werkzeug.wsgi import ClosingIterator

from gim_tf.errors import ServingError
from serving.local_server.grpc_api import ModelService, PredictionService
from serving.local_server.repository import ModelRepository, require_one
from serving.local_server.rest import RestApi

_GRPC_THREADS = 16
_GRACE_SECONDS = 10
_READ_SECONDS = 60


class Addresses(NamedTuple):
    """Where to listen; port 0 is any that is free."""

    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500


class Limits(NamedTuple):
    """What a request may have at most."""

    body_bytes: int = 8_000_000
    batch: int = 256


def serve(
    directory: str | Path,
    name: str,
    *,
    addresses: Addresses,
    limits: Limits,
    poll_seconds: float,
    report: Callable[[str], None],
) -> None:
    """Serves the newest version until SIGTERM or SIGINT.

    Args:
      directory: holds numbered versions.
      name: of the model.
      addresses: of the two interfaces.
      limits: of one request.
      poll_seconds: between two looks for new versions.
      report: takes a line for a person, the first when both are answering.

    Raises:
      ExportError: there is no version that can be loaded.
      ServingError: a port cannot be had.
    """
    repository = ModelRepository(name, directory)
    require_one(repository, directory)
    application = RestApi(
        repository, max_body=limits.body_bytes, max_batch=limits.batch
    )
    answering = Answering(application)
    rest = _rest_server(answering, addresses)
    remote, grpc_port = _grpc_server(repository, addresses, limits)
    ended = _on_signals()
    remote.start()
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    repository.keep_polling(poll_seconds)
    report(
        f"Serving {name}: http://{addresses.host}:{rest.port}/v1/models/{name} "
        f"and gRPC {addresses.host}:{grpc_port}"
    )
    ended.wait()
    report("Ending, once what has begun is answered ...")
    repository.close()
    remote_ended = remote.stop(_GRACE_SECONDS)
    rest.shutdown()
    answering.wait(_GRACE_SECONDS)
    remote_ended.wait()


class Answering:
    """A WSGI application whose answers in progress can be waited for.

    The server's own way would also wait for connections that are kept alive
    and say nothing.

    Args:
      application: answers; it raises nothing.
    """

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application
        self._count = 0
        self._changed = threading.Condition()

    def __call__(self, environ: Any, start_response: Any) -> ClosingIterator:
        """Answers one request; it has ended when all is written."""
        self._add(1)
        return ClosingIterator(
            self._application(environ, start_response), lambda: self._add(-1)
        )

    def wait(self, seconds: float) -> bool:
        """Until nothing is being answered, at most so long; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._count, seconds)

    def _add(self, number: int) -> None:
        with self._changed:
            self._count += number
            self._changed.notify_all()


class _Handler(WSGIRequestHandler):
    """Gives up on clients that stop sending, and logs errors alone."""

    timeout = _READ_SECONDS

    def log_request(self, *arguments: Any) -> None:
        """Says nothing."""


def _rest_server(
    application: Answering, addresses: Addresses
) -> BaseWSGIServer:
    host, port = addresses.host, addresses.rest_port
    try:
        # Bound here: the server itself would exit where the port is taken.
        bound = socket.create_server((host, port))
    except OSError as error:
        raise _not_had("--rest-port", port, host, error) from error
    with bound:
        return make_server(
            host,
            bound.getsockname()[1],
            application,
            threaded=True,
            request_handler=_Handler,
            fd=bound.fileno(),
        )


def _grpc_server(
    repository: ModelRepository, addresses: Addresses, limits: Limits
) -> tuple[grpc.Server, int]:
    server = grpc.server(
        futures.ThreadPoolExecutor(_GRPC_THREADS),
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
            # Otherwise two servers share a port and the requests to it.
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(repository, limits.batch), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(repository), server
    )
    host, port = addresses.host, addresses.grpc_port
    try:
        return server, server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise _not_had("--grpc-port", port, host, error) from error


def _not_had(
    option: str, port: int, host: str, error: Exception
) -> ServingError:
    return ServingError(
        f"Port {port} of {host} cannot be had ({error}); choose another with "
        f"{option}, or 0 for any."
    )


def _on_signals() -> threading.Event:
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return ended
