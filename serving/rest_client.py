"""The REST client."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import requests

from gim_tf.errors import DeadlineError, UnavailableError
from serving.calls import (
    DTYPES,
    MESSAGE_BYTES,
    Patience,
    Signature,
    known_signature,
    retrying,
)
from serving.statuses import error_of_http


class RestClient:
    """By REST; it has no output_filter, so what is not wanted comes too.

    Args:
      url: of the server, such as http://127.0.0.1:8501.
      model: its name there.
      version: a number; None: the newest.
      label: of a version, instead of its number, such as "canary".
      patience: see there.
    """

    bytes_per_byte = 4 / 3  # base64
    message_bytes = MESSAGE_BYTES

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        patience: Patience,
    ) -> None:
        which = f"/versions/{version}" if version is not None else ""
        which = f"/labels/{label}" if label is not None else which
        self._url = f"{url.rstrip('/')}/v1/models/{model}{which}"
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
        signature = known_signature(self.signatures(), signature_name)
        content = {
            "signature_name": signature_name,
            "inputs": {name: _json(x) for name, x in inputs.items()},
        }
        outputs = self._answer("POST", ":predict", json.dumps(content))[
            "outputs"
        ]
        names = list(signature.outputs)
        if len(names) == 1:
            outputs = {names[0]: outputs}
        return {
            name: _array(outputs[name], signature.outputs[name])
            for name in output_filter or names
        }

    def signatures(self) -> dict[str, Signature]:
        """See `Client`."""
        if self._signatures is None:
            found = self._answer("GET", "/metadata")["metadata"]
            self._signatures = {
                name: Signature(
                    _dtypes(signature["inputs"]), _dtypes(signature["outputs"])
                )
                for name, signature in found["signature_def"][
                    "signature_def"
                ].items()
                if not name.startswith("__")
            }
        return self._signatures

    def versions(self) -> dict[int, str]:
        """The state of each version that the server knows."""
        return {
            int(status["version"]): status["state"]
            for status in self._answer("GET", "")["model_version_status"]
        }

    def _session(self) -> Any:
        """What sends a request; the module itself keeps no connection."""
        return requests

    def _answer(self, method: str, suffix: str, body: str | None = None) -> Any:
        return retrying(
            lambda seconds: self._once(method, suffix, body, seconds),
            self._patience,
        )

    def _once(
        self, method: str, suffix: str, body: str | None, seconds: float
    ) -> Any:
        url = f"{self._url}{suffix}"
        try:
            response = self._session().request(
                method, url, data=body, timeout=seconds, allow_redirects=False
            )
        except requests.Timeout as error:
            raise DeadlineError(f"No answer of {url} in time.") from error
        except requests.RequestException as error:
            raise UnavailableError(
                f"{url} cannot be reached: {error}."
            ) from error
        content = _object(response)
        if not response.ok:
            said = response.text[:200] if content is None else response.reason
            text = (content or {}).get("error", said)
            raise error_of_http(response.status_code)(text)
        if content is None:
            raise UnavailableError(
                f"{url} answered with no JSON object, {response.text[:80]!r}; "
                "is it TF Serving's REST interface?"
            )
        return content


def _object(response: requests.Response) -> dict[str, Any] | None:
    try:
        content = response.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _dtypes(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: DTYPES[tensor["dtype"]] for name, tensor in tensors.items()}


def _json(value: Any) -> Any:
    """Bytes as {"b64": ...} and arrays as lists."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, np.ndarray):
        return _json(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_json(one) for one in value]
    return value


def _array(value: Any, dtype: Any) -> np.ndarray:
    array = np.array(value, dtype)
    if dtype is not object:
        return array
    return np.vectorize(str.encode, otypes=[object])(array)
