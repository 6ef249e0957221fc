"""What a training job is told by its environment, as Vertex AI does.

Read by the Trainer's entry and nothing else.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.paths import check_known
from pipelines.mounts import mounted


class JobPlaces(NamedTuple):
    """Where a training writes.

    Attributes:
      run_dir: checkpoints and history; a path or a URL, of a bucket that
        Vertex AI mounts the path.
      logs: TensorBoard's; a path or a URL.
      model_dir: a second copy of the export; None: none.
    """

    run_dir: str
    logs: str
    model_dir: str | None


def job_places(
    custom: Mapping[str, Any], environment: Mapping[str, str]
) -> JobPlaces:
    """The places of the environment, and those of the pipeline for the rest.

    Args:
      custom: the Trainer's `custom_config`, with `run_dir`, `tensorboard_dir`.
      environment: AIP_CHECKPOINT_DIR, AIP_TENSORBOARD_LOG_DIR, AIP_MODEL_DIR
        and TF_CONFIG count.

    Raises:
      CheckpointError: a bucket is not mounted.
      ConfigError: the job has several machines, or TensorFlow does not know
        the scheme of a URL.
    """
    _check_one_machine(environment.get("TF_CONFIG", ""))
    told = environment.get("AIP_CHECKPOINT_DIR") or custom["run_dir"]
    run_dir = mounted(told)
    check_known(run_dir)
    parts = run_dir.split("/")
    if parts[:2] == ["", "gcs"] and not os.path.isdir("/".join(parts[:3])):
        raise CheckpointError(
            f"{told} should be mounted at {'/'.join(parts[:3])}, where there "
            "is nothing. Mount the bucket, or name a local path."
        )
    return JobPlaces(
        run_dir.rstrip("/"),
        (
            environment.get("AIP_TENSORBOARD_LOG_DIR")
            or custom["tensorboard_dir"]
        ).rstrip("/"),
        environment.get("AIP_MODEL_DIR", "").rstrip("/") or None,
    )


def _check_one_machine(tf_config: str) -> None:
    """Two machines would train the same modules into the same directory."""
    if not tf_config:
        return
    try:
        cluster = json.loads(tf_config).get("cluster", {})
        machines = sum(len(tasks) for tasks in cluster.values())
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"TF_CONFIG must be JSON with a cluster, received {tf_config!r}."
        ) from error
    if machines > 1:
        raise ConfigError(
            f"Training runs on one machine, TF_CONFIG names {machines}. Ask "
            "for one worker pool of one replica."
        )
