"""Compiles the pipeline for Vertex AI Pipelines, and submits it.

Compiling needs no network and no credentials. Submitting uses Application
Default Credentials and nothing else.

Artifacts lie below the pipeline root and are copied to and from the machines
(`staging`). What needs a file system, which are raw data and checkpoints, is
read and written below /gcs, where Vertex AI mounts buckets.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from google.cloud.aiplatform_v1.types import CustomJobSpec
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx import v1 as tfx
from tfx.components.trainer.component import Trainer
from tfx.dsl.components.base.base_component import BaseComponent

from gim_tf import config
from gim_tf.data.sources import open_source
from gim_tf.errors import ConfigError, cloud_errors
from pipelines import secrecy
from pipelines.mounts import mounted
from pipelines.pipeline import create_pipeline
from pipelines.record_schema import schema_path, write_schema
from pipelines.settings import Options
from pipelines.vertex_settings import (
    Vertex,
    check_accelerators,
    vertex_places,
)

_Deployment = pipeline_spec_pb2.PipelineDeploymentConfig
_Resources = _Deployment.PipelineContainerSpec.ResourceSpec


def compile_pipeline(
    experiment: config.Experiment,
    root: str,
    output_file: str | Path,
    *,
    vertex: Vertex,
    data_fingerprint: str,
    options: Options | None = None,
) -> dict[str, Any]:
    """Writes the PipelineJob as JSON and returns it.

    Args:
      experiment: what to run; data in a bucket are read below /gcs.
      root: folder of everything that the pipeline writes, such as
        gs://bucket/gim; the schema is expected below it.
      output_file: the JSON file.
      vertex: the project, the container and the machines.
      data_fingerprint: of the source's content, see `fingerprint`.
      options: how it runs; the baseline is always "latest" here.

    Raises:
      ConfigError: `root` is no bucket's folder, the file would hold a key, or
        accelerators would be idle.
    """
    check_accelerators(experiment, vertex)
    _check_job(vertex)
    options = options or Options()
    options = dataclasses.replace(
        options, baseline="latest", resume=mounted(options.resume)
    )
    # All that the file is made of.
    secrecy.check_texts(
        [
            config.to_json(experiment),
            json.dumps(dataclasses.asdict(vertex)),
            json.dumps(dataclasses.asdict(options)),
            root,
            data_fingerprint,
        ]
    )
    experiment = as_mounted(experiment)
    places = vertex_places(
        root,
        name=experiment.name,
        schema_file=schema_path(experiment.data, _schema_dir(root)),
    )
    pipeline = create_pipeline(
        experiment,
        places,
        data_fingerprint=data_fingerprint,
        options=options,
        vertex=vertex,
    )
    for component in pipeline.components:
        # The training job has machines of its own; what starts it waits.
        if isinstance(component, BaseComponent) and not isinstance(
            component, Trainer
        ):
            component.with_platform_config(
                _Resources(cpu_limit=vertex.cpus, memory_limit=vertex.memory_gb)
            )
    output_file = Path(output_file)
    runner = tfx.orchestration.experimental.KubeflowV2DagRunner(
        config=tfx.orchestration.experimental.KubeflowV2DagRunnerConfig(
            default_image=vertex.image
        ),
        output_dir=str(output_file.parent),
        output_filename=output_file.name,
    )
    return runner.run(pipeline, write_out=True)


def submit(
    experiment: config.Experiment,
    root: str,
    job_file: str | Path,
    vertex: Vertex,
) -> str:
    """Uploads the schema, starts the job, and returns its address.

    Args:
      experiment: what was compiled.
      root: see `compile_pipeline`.
      job_file: what was compiled.
      vertex: whose project, region and service account count.

    Raises:
      CloudError: there are no credentials, or a service refused.
    """
    from google.cloud import aiplatform

    with cloud_errors():
        aiplatform.init(project=vertex.project, location=vertex.region)
        job = aiplatform.PipelineJob(
            display_name=experiment.name,
            template_path=str(job_file),
            pipeline_root=f"{root.rstrip('/')}/pipeline",
            project=vertex.project,
            location=vertex.region,
        )
        write_schema(as_mounted(experiment).data, _schema_dir(root))
        job.submit(service_account=vertex.service_account or None)
    return job._dashboard_uri()


def as_mounted(experiment: config.Experiment) -> config.Experiment:
    """The experiment with data in buckets named as Vertex AI mounts them."""
    data = experiment.data
    named = {"path": data.path, "frame_labels": data.frame_labels}
    overrides = [
        f"data.{name}={mounted(path)!r}"
        for name, path in named.items()
        if path is not None
    ]
    return config.resolve(experiment, overrides)


def fingerprint(data: config.DataConfig, version: str) -> str:
    """What stands for the source's content: changed, all runs again.

    Args:
      data: as the user named them.
      version: the user's name of it; "": found from the data if they are at
        hand, and else "unversioned", which stays when they change.
    """
    if version:
        return version
    if data.path is not None and "://" in data.path:
        return "unversioned"
    return open_source(data).fingerprint()


def _check_job(vertex: Vertex) -> None:
    """Raises `ConfigError` for a training job that Vertex AI does not know."""
    job = vertex.training_job("job", "gs://bucket/base")
    try:
        CustomJobSpec(job["job_spec"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"Vertex AI knows no such training job: {error}. Look at "
            "--accelerator and --machine-type."
        ) from error


def _schema_dir(root: str) -> str:
    return f"{root.rstrip('/')}/schema"


if __name__ == "__main__":
    from pipelines.tfx_command import main

    main()
