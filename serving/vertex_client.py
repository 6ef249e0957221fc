"""The client of a Vertex AI endpoint whose container is TF Serving."""

import re
from pathlib import Path
from typing import Any

from tensorflow.core.framework.types_pb2 import DataType
from tensorflow.core.protobuf import saved_model_pb2

from gim_tf.errors import (
    ConfigError,
    ExportError,
    RequestTooLargeError,
    cloud_errors,
)
from serving.calls import DTYPES, Patience, Signature
from serving.rest_client import RestClient

REQUEST_BYTES = 1_500_000
"""That a shared endpoint of Vertex AI takes, all of the JSON counted."""

_NAME = re.compile(r"projects/[^/]+/locations/([^/]+)/endpoints/[^/]+")
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class VertexClient(RestClient):
    """By `rawPredict`, which hands TF Serving's own JSON on.

    Requests above `REQUEST_BYTES` are refused before they are sent.

    Args:
      endpoint: projects/P/locations/R/endpoints/N.
      export_dir: of the export that is deployed; only its signatures are
        read.
      patience: see `RestClient`.
      host: in place of the region's own, such as a dedicated endpoint's.
      session: sends requests; None: with Application Default Credentials.

    Raises:
      ConfigError: the endpoint has another form.
      CloudError: there are no credentials.
      ExportError: the export cannot be read.
    """

    message_bytes = REQUEST_BYTES - 5_000  # room for the JSON around files

    def __init__(
        self,
        endpoint: str,
        export_dir: str | Path,
        *,
        patience: Patience,
        host: str | None = None,
        session: Any = None,
    ) -> None:
        found = _NAME.fullmatch(endpoint.strip("/"))
        if not found:
            raise ConfigError(
                "An endpoint must be like projects/P/locations/R/endpoints/N, "
                f"received {endpoint!r}."
            )
        super().__init__("", "", patience=patience)
        region = host or f"https://{found[1]}-aiplatform.googleapis.com"
        self._url = f"{region.rstrip('/')}/v1/{found[0]}"
        self._signatures = exported_signatures(export_dir)
        self._authorized = session if session is not None else _authorized()

    def versions(self) -> dict[int, str]:
        """None: an endpoint does not tell its container's versions."""
        return {}

    def _session(self) -> Any:
        return self._authorized

    def _once(
        self, method: str, suffix: str, body: str | None, seconds: float
    ) -> Any:
        if body is not None and (size := len(body.encode())) > REQUEST_BYTES:
            raise RequestTooLargeError(
                f"The request has {size:,} bytes; an endpoint of Vertex AI "
                f"takes {REQUEST_BYTES:,}. Send fewer or smaller files "
                "(base64 adds a third)."
            )
        if suffix == ":predict":
            suffix = ":rawPredict"
        with cloud_errors():
            return super()._once(method, suffix, body, seconds)


def exported_signatures(export_dir: str | Path) -> dict[str, Signature]:
    """The signatures of a SavedModel, without loading it.

    Raises:
      ExportError: there is none that can be read.
    """
    path = Path(export_dir) / "saved_model.pb"
    try:
        model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        found = model.meta_graphs[0].signature_def
    except Exception as error:
        raise ExportError(
            f"{path} cannot be read as a SavedModel: {error}. Name the folder "
            "of the export that is deployed."
        ) from error
    return {
        name: Signature(_dtypes(one.inputs), _dtypes(one.outputs))
        for name, one in found.items()
        if not name.startswith("__")
    }


def _dtypes(tensors: Any) -> dict[str, Any]:
    return {k: DTYPES[DataType.Name(t.dtype)] for k, t in tensors.items()}


def _authorized() -> Any:
    try:
        import google.auth
        from google.auth.transport.requests import AuthorizedSession
    except ImportError as error:
        raise ConfigError(
            "A client of Vertex AI needs google-auth, which is not installed; "
            "install it, or gim_tf[pipelines]."
        ) from error
    with cloud_errors():
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    return AuthorizedSession(credentials)
