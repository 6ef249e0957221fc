"""`gim deploy`: pushed versions to a Vertex AI endpoint, under TF Serving.

The calls are data first, so that a dry run shows exactly what would be made.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf.errors import ConfigError, ExportError, cloud_errors
from gim_tf.export.manifest import verify_manifest

_PORT = 8080
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,100}")


class Call(NamedTuple):
    """One call of google-cloud-aiplatform.

    Attributes:
      function: its name, such as "Model.upload".
      arguments: by keyword; of another call's result, its name in <>.
    """

    function: str
    arguments: dict[str, Any]


class Deployment(NamedTuple):
    """What is deployed, and on what.

    Attributes:
      directory: of numbered versions, gs://...; or local, with `staging`.
      name: of the model, in requests too.
      project: Google Cloud project.
      region: such as "europe-west4".
      image: container of TF Serving.
      machine_type: of each replica.
      replicas: least and most of them.
      endpoint: id of an endpoint that there is; None: a new one.
      service_account: who the container runs as; None: the default one.
      staging: bucket for a local `directory`; None: it is in a bucket.
    """

    directory: str
    name: str
    project: str
    region: str
    image: str
    machine_type: str = "n1-standard-4"
    replicas: tuple[int, int] = (1, 1)
    endpoint: str | None = None
    service_account: str | None = None
    staging: str | None = None


def calls(wanted: Deployment) -> list[Call]:
    """The calls that deploy it, in order; makes none of them.

    Raises:
      ConfigError: a name or a number that cannot be meant.
      ExportError: a local directory has no version, or an altered one.
    """
    _check(wanted)
    upload = {
        "display_name": wanted.name,
        "artifact_uri": wanted.directory.rstrip("/"),
        "serving_container_image_uri": wanted.image,
        "serving_container_command": ["/usr/bin/tensorflow_model_server"],
        # Vertex AI puts its copy of artifact_uri in place of the parentheses.
        "serving_container_args": [
            f"--model_name={wanted.name}",
            "--model_base_path=$(AIP_STORAGE_URI)",
            f"--rest_api_port={_PORT}",
            "--rest_api_timeout_in_ms=30000",
            "--enable_profiler=false",
        ],
        "serving_container_ports": [_PORT],
        "serving_container_predict_route": f"/v1/models/{wanted.name}:predict",
        "serving_container_health_route": f"/v1/models/{wanted.name}",
    }
    if wanted.staging is not None:
        upload["staging_bucket"] = wanted.staging
    least, most = wanted.replicas
    deploy = {
        "model": "<Model.upload>",
        "deployed_model_display_name": wanted.name,
        "machine_type": wanted.machine_type,
        "min_replica_count": least,
        "max_replica_count": most,
        "traffic_percentage": 100,
    }
    if wanted.service_account is not None:
        deploy["service_account"] = wanted.service_account
    endpoint = (
        Call("Endpoint", {"endpoint_name": wanted.endpoint})
        if wanted.endpoint is not None
        else Call("Endpoint.create", {"display_name": wanted.name})
    )
    init = {"project": wanted.project, "location": wanted.region}
    return [
        Call("init", init),
        Call("Model.upload", upload),
        endpoint,
        Call("Endpoint.deploy", deploy),
    ]


def deploy(
    wanted: Deployment, report: Callable[[str], None] = lambda line: None
) -> str:
    """Makes the calls, and returns the endpoint's resource name.

    Args:
      wanted: see there.
      report: receives a line before each call; the last takes minutes.

    Raises:
      CloudError: there are no credentials, or a service refused.
      ConfigError: see `calls`.
      ExportError: see `calls`.
    """
    _, upload, at, to = calls(wanted)
    try:
        from google.cloud import aiplatform
    except ImportError as error:
        raise ConfigError(
            "gim deploy needs google-cloud-aiplatform, which is not installed; "
            "install it, or gim_tf[pipelines]."
        ) from error

    with cloud_errors():
        aiplatform.init(project=wanted.project, location=wanted.region)
        report(f"{upload.function} ...")
        model = aiplatform.Model.upload(**upload.arguments)
        report(f"{at.function} ...")
        if wanted.endpoint is not None:
            endpoint = aiplatform.Endpoint(**at.arguments)
        else:
            endpoint = aiplatform.Endpoint.create(**at.arguments)
        report(f"{to.function} ...")
        endpoint.deploy(**{**to.arguments, "model": model})
    return endpoint.resource_name


def _check(wanted: Deployment) -> None:
    if not _NAME.fullmatch(wanted.name):
        raise ConfigError(
            "--name must be letters, digits, - and _, received "
            f"{wanted.name!r}."
        )
    least, most = wanted.replicas
    if not 1 <= least <= most:
        raise ConfigError(
            "--min-replicas must be 1 or more and --max-replicas not less, "
            f"received {least} and {most}."
        )
    if wanted.directory.startswith("gs://"):
        return
    if wanted.staging is None:
        raise ConfigError(
            f"{wanted.directory} is no gs:// folder; push there, or name a "
            "bucket to copy it to, --staging-bucket gs://BUCKET."
        )
    versions = [
        path for path in Path(wanted.directory).glob("*") if path.name.isdigit()
    ]
    if not versions:
        raise ExportError(
            f"{wanted.directory} has no numbered version; expected what `gim "
            "run` pushes, OUTPUT_DIR/serving/EXPERIMENT."
        )
    verify_manifest(max(versions, key=lambda path: int(path.name)))
