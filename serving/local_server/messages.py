"""TF Serving's messages about a model: its status and its metadata."""

from tensorflow.core.protobuf.error_codes_pb2 import Code
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
)

from serving.local_server.repository import LoadedVersion, VersionStatus

SIGNATURES = "signature_def"
"""The only field of metadata that there is."""


def model_spec(
    name: str, version: int, signature_name: str = ""
) -> model_pb2.ModelSpec:
    """Who answered."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature_name)
    spec.version.value = version
    return spec


def signature_map(
    loaded: LoadedVersion,
) -> get_model_metadata_pb2.SignatureDefMap:
    """All signatures of a version."""
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in loaded.model.signatures.items():
        found.signature_def[name].CopyFrom(signature)
    return found


def status_message(
    statuses: list[VersionStatus],
) -> get_model_status_pb2.GetModelStatusResponse:
    """What the versions are doing."""
    message = get_model_status_pb2.GetModelStatusResponse()
    states = get_model_status_pb2.ModelVersionStatus.State
    for status in statuses:
        added = message.model_version_status.add(
            version=status.version, state=states.Value(status.state)
        )
        added.status.error_message = status.error
        added.status.error_code = Code.UNKNOWN if status.error else Code.OK
    return message
