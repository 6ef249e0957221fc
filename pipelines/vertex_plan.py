"""What a compiled pipeline would start: read from the file, not from us."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf import config
from gim_tf.data.sources import open_source
from pipelines.vertex_settings import Vertex


class Step(NamedTuple):
    """One component of the job.

    Attributes:
      name: of the component.
      reads: the artifacts that it waits for, as component.output.
      machine: cores and memory, or the training job's machine; "none" where
        the metadata store is asked and nothing is started.
      image: its container; "-" where there is none.
    """

    name: str
    reads: tuple[str, ...]
    machine: str
    image: str


def steps(job: Mapping[str, Any]) -> list[Step]:
    """The components of a compiled PipelineJob, each after those it needs."""
    spec = job["pipelineSpec"]
    executors = spec["deploymentSpec"]["executors"]
    tasks = spec["root"]["dag"]["tasks"]
    found = []
    for name in _in_order(tasks):
        task = tasks[name]
        component = spec["components"][task["componentRef"]["name"]]
        container = executors[component["executorLabel"]].get("container", {})
        machine = _resources(container)
        if (training := _training_job(task)) is not None:
            machine += f", starts {_pools(training)}"
        found.append(
            Step(name, _reads(task), machine, container.get("image", "-"))
        )
    return found


def inputs(experiment: config.Experiment) -> dict[str, str]:
    """What is read, as far as this machine can see it.

    Returns:
      "data": where; then shards and bytes, if the data are at hand; "training":
      steps, and examples in all; "cost": of the whole, as recorded with the
      experiment.
    """
    data, training = experiment.data, experiment.training
    where = f"{data.source}, {data.path or 'inside the image'}"
    found = {"data": where}
    if data.path is None or Path(data.path).exists():
        source = open_source(data)
        found["shards"] = ", ".join(
            f"{split} {len(source.work(split))}" for split in data.splits
        )
        if data.path is not None:
            found["size"] = _size(Path(data.path))
    else:
        found["size"] = "not visible from here"
    examples = training.num_steps * training.batch_size
    found["training"] = (
        f"{training.num_steps:,} steps a module of {training.batch_size}, "
        f"{examples:,} examples"
    )
    if experiment.cost:
        found["cost"] = f"{experiment.cost} (as recorded, not on Vertex AI)"
    return found


def submission(root: str, vertex: Vertex) -> dict[str, str]:
    """Who would run it, and where."""
    return {
        "project": vertex.project,
        "region": vertex.region,
        "pipeline root": f"{root.rstrip('/')}/pipeline",
        "runs as": vertex.service_account or "the project's default account",
        "trains on": (
            f"{'spot' if vertex.spot else 'standard'} machines, at most "
            f"{vertex.timeout_hours} h"
        ),
        "TensorBoard": vertex.tensorboard or "none",
    }


def _in_order(tasks: Mapping[str, Any]) -> Iterator[str]:
    left = dict(tasks)
    while left:
        ready = [
            name
            for name, task in left.items()
            if not set(task.get("dependentTasks", ())) & left.keys()
        ]
        yield from ready
        for name in ready:
            del left[name]


def _reads(task: Mapping[str, Any]) -> tuple[str, ...]:
    artifacts = task.get("inputs", {}).get("artifacts", {})
    sources = (one["taskOutputArtifact"] for one in artifacts.values())
    names = {f"{s['producerTask']}.{s['outputArtifactKey']}" for s in sources}
    return tuple(sorted(names))


def _resources(container: Mapping[str, Any]) -> str:
    if not container:
        return "none"
    resources = container.get("resources")
    if not resources:
        return "default"
    return f"{resources['cpuLimit']:g} cores, {resources['memoryLimit']:g} GB"


def _training_job(task: Mapping[str, Any]) -> dict[str, Any] | None:
    parameters = task.get("inputs", {}).get("parameters", {})
    value = parameters.get("custom_config", {}).get("runtimeValue", {})
    text = value.get("constantValue", {}).get("stringValue", "{}")
    return json.loads(text).get("ai_platform_training_args")


def _pools(job: Mapping[str, Any]) -> str:
    told = []
    for pool in job["job_spec"]["worker_pool_specs"]:
        machine = pool["machine_spec"]
        line = f"{pool['replica_count']} x {machine['machine_type']}"
        if "accelerator_type" in machine:
            line += (
                f" with {machine['accelerator_count']} x "
                f"{machine['accelerator_type']}"
            )
        told.append(line)
    return "; ".join(told)


def _size(path: Path) -> str:
    files = [path] if path.is_file() else path.rglob("*")
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return f"{len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB"
