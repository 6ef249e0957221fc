"""Where and on what a pipeline runs on Vertex AI; imports no TFX.

Defaults train the small experiments on processors. The paper's recipes need an
accelerator: `Machines(machine_type="n1-standard-16",
accelerator="NVIDIA_TESLA_T4")`, or `a2-highgpu-1g` with `NVIDIA_TESLA_A100`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from gim_tf.config import Experiment
from gim_tf.errors import ConfigError
from pipelines.settings import Places

_PROJECT = re.compile(r"[a-z][a-z0-9.:-]{4,61}[a-z0-9]")
_REGION = re.compile(r"[a-z]+-[a-z]+\d+")
_ACCOUNT = re.compile(r"[^@\s]+@[^@\s]+\.gserviceaccount\.com")
_TENSORBOARD = re.compile(r"projects/[^/]+/locations/[^/]+/tensorboards/[^/]+")


@dataclass(frozen=True, kw_only=True)
class Machines:
    """One worker pool of the training job.

    Attributes:
      machine_type: Compute Engine's name; 8 cores and 30 GB by default.
      accelerator: Vertex AI's name, such as "NVIDIA_TESLA_T4"; "": none.
      accelerators: of them on each machine.
      replicas: machines. Training runs on one, so that more are refused.
      disk_gb: of each machine's boot disk, an SSD.
    """

    machine_type: str = "n1-standard-8"
    accelerator: str = ""
    accelerators: int = 1
    replicas: int = 1
    disk_gb: int = 100

    def as_pool(self, image: str) -> dict[str, Any]:
        """A WorkerPoolSpec of Vertex AI, as a mapping."""
        machine: dict[str, Any] = {"machine_type": self.machine_type}
        if self.accelerator:
            machine["accelerator_type"] = self.accelerator
            machine["accelerator_count"] = self.accelerators
        return {
            "machine_spec": machine,
            "replica_count": self.replicas,
            "disk_spec": {
                "boot_disk_type": "pd-ssd",
                "boot_disk_size_gb": self.disk_gb,
            },
            "container_spec": {"image_uri": image},
        }


@dataclass(frozen=True, kw_only=True)
class Vertex:
    """Who runs a pipeline on Vertex AI, and on which machines.

    Attributes:
      project: id of the Google Cloud project.
      region: such as "europe-west4".
      image: the container of all components, see the Dockerfile.
      service_account: who the jobs run as; "": the project's default one.
      pools: of the training job, the chief's first.
      spot: train on machines that may be taken away at any time, for less; a
        training that was stopped goes on from its last checkpoint.
      timeout_hours: after which the training job is ended.
      cpus: cores of every other component.
      memory_gb: memory of every other component, likewise.
      tensorboard: name of a Vertex TensorBoard, projects/P/locations/R/
        tensorboards/N, to which the training's logs are copied as they grow;
        needs a `service_account`. "": none.

    Raises:
      ConfigError: one of them cannot be meant so.
    """

    project: str
    region: str
    image: str
    service_account: str = ""
    pools: tuple[Machines, ...] = (Machines(),)
    spot: bool = False
    timeout_hours: int = 7 * 24
    cpus: float = 4.0
    memory_gb: float = 16.0
    tensorboard: str = ""

    def __post_init__(self) -> None:
        _check("--project", "my-project", _PROJECT, self.project)
        _check("--region", "europe-west4", _REGION, self.region)
        if self.service_account:
            expected = "runner@my-project.iam.gserviceaccount.com"
            _check(
                "--service-account", expected, _ACCOUNT, self.service_account
            )
        if self.tensorboard:
            expected = "projects/P/locations/R/tensorboards/N"
            _check("--tensorboard", expected, _TENSORBOARD, self.tensorboard)
            if not self.service_account:
                raise ConfigError(
                    "--tensorboard needs a --service-account, which Vertex AI "
                    "writes the logs as; received none."
                )
        for option, value in (
            ("--timeout-hours", self.timeout_hours),
            ("--cpus", self.cpus),
            ("--memory-gb", self.memory_gb),
            *(("--disk-gb", pool.disk_gb) for pool in self.pools),
        ):
            if not 0 < value < math.inf:
                raise ConfigError(f"{option} must be > 0, received {value}.")
        machines = sum(pool.replicas for pool in self.pools)
        if machines != 1:
            raise ConfigError(
                f"Training runs on one machine, received {machines} in "
                f"{len(self.pools)} worker pool(s); take a larger machine, "
                "or more accelerators' memory, instead."
            )

    def training_job(self, name: str, base: str) -> dict[str, Any]:
        """What TFX's Vertex Trainer takes: project, and a CustomJobSpec.

        Args:
          name: of the job.
          base: folder of its files; Vertex AI tells the container
            `base`/checkpoints, `base`/logs and `base`/model.
        """
        spec: dict[str, Any] = {
            "worker_pool_specs": [p.as_pool(self.image) for p in self.pools],
            "base_output_directory": {"output_uri_prefix": base},
            "scheduling": {
                "timeout": f"{self.timeout_hours * 3600}s",
                "restart_job_on_worker_restart": True,
                "strategy": "SPOT" if self.spot else "STANDARD",
            },
        }
        if self.service_account:
            spec["service_account"] = self.service_account
        if self.tensorboard:
            spec["tensorboard"] = self.tensorboard
        return {
            "project": self.project,
            "display_name": name,
            "job_spec": spec,
        }


def check_accelerators(experiment: Experiment, vertex: Vertex) -> None:
    """Raises `ConfigError` for accelerators that training would leave idle."""
    count = max(p.accelerators if p.accelerator else 0 for p in vertex.pools)
    training = experiment.training
    # Decoupled, each module's thread takes a device of its own.
    uses_all = training.strategy == "mirrored" or (
        training.schedule == "decoupled"
    )
    if count > 1 and not uses_all:
        raise ConfigError(
            f"--accelerator names {count}, of which training.strategy "
            f"{training.strategy!r} uses one; ask for one, or take --set "
            "training.strategy=mirrored."
        )


def vertex_places(root: str, *, name: str, schema_file: str) -> Places:
    """The places below a bucket's folder.

    Args:
      root: such as gs://bucket/gim.
      name: of the experiment.
      schema_file: of the records.

    Raises:
      ConfigError: `root` is no folder of a bucket.
    """
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]+(/[^\s]*)?", root):
        raise ConfigError(
            "--pipeline-root must be like gs://my-bucket/gim, received "
            f"{root!r}."
        )
    root = root.rstrip("/")
    return Places(
        pipeline_root=f"{root}/pipeline",
        serving_dir=f"{root}/serving/{name}",
        training_dir=f"{root}/training",
        tensorboard_dir=f"{root}/training",
        schema_file=schema_file,
        jobs_dir=f"{root}/training",
    )


def _check(
    option: str, example: str, form: re.Pattern[str], value: str
) -> None:
    if not form.fullmatch(value):
        raise ConfigError(
            f"{option} must be like {example}, received {value!r}."
        )
