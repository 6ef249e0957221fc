"""The pipeline compiled for Vertex AI, without network or credentials."""

import contextlib
import io
import json
import os
import re
import socket
from typing import NamedTuple

import pytest

from gim_tf import cli, config, experiments
from gim_tf.errors import ConfigError
from pipelines.vertex_settings import Machines, Vertex
from tests.source_files import put

pytestmark = pytest.mark.pipeline

IMAGE = "registry.example/gim:1"
ROOT = "gs://my-bucket/gim"
SECRET = "hunter2-the-secret"
COMPONENTS = {
    *("ImportSchemaGen", "RecordGen", "StatisticsGen", "ExampleValidator"),
    *("DataGate", "Trainer", "LinearProbe", "Evaluator", "Bless", "Push"),
    "Report",
}
KEY_LIKE = re.compile(
    r"AIza[\w-]{30}|ya29\.|AKIA[0-9A-Z]{16}|PRIVATE KEY|gh[pous]_\w{30}"
    r"|(password|passwd|secret|api_?key)\W{0,4}[:=]",
    re.I,
)


def dry_run(folder, *more, experiment="fashion_mnist_gim"):
    return cli.main(
        [
            *("run", "--experiment", experiment, "--runner", "vertex"),
            *("--project", "my-project", "--region", "europe-west4"),
            *("--pipeline-root", ROOT, "--image", IMAGE, "--dry-run"),
            *("--output-dir", str(folder), *more),
        ]
    )


class Compiled(NamedTuple):
    """By modality: the job and what was printed; what was around it."""

    jobs: dict
    printed: dict
    environment: dict
    calls: list


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Both modalities as a user compiles them, and what was printed."""
    folder = tmp_path_factory.mktemp("vertex")
    calls = []

    def connect(self, address):
        """Of the machine's own sockets alone: there is no network here."""
        if self.family == socket.AF_UNIX:
            return connected(self, address)
        calls.append(address)
        raise OSError("no network")

    connected = socket.socket.connect
    secrets = {"GIM_TEST_TOKEN": SECRET, "GOOGLE_API_KEY": f"AIza{'x' * 35}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in secrets.items():
            patch.setenv(name, value)
        # No credentials either.
        patch.setenv("CLOUDSDK_CONFIG", str(folder / "nobody"))
        patch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        patch.setattr(socket.socket, "connect", connect)
        pictures, sound = folder / "pictures", folder / "sound"
        beam = "--beam-args=--runner=DataflowRunner --project=my-project"
        printed = {path: io.StringIO() for path in (pictures, sound)}
        with contextlib.redirect_stdout(printed[pictures]):
            assert dry_run(pictures, "--bulk-infer", beam) == 0
        more = ("--data", "gs://my-bucket/LibriSpeech", "--spot")
        more += ("--cpus", "8", "--memory-gb", "52", "--disk-gb", "500")
        more += ("--timeout-hours", "48")
        machine = ("--accelerator", "NVIDIA_TESLA_T4:2")
        machine += ("--set", "training.strategy=mirrored")
        account = "runner@my-project.iam.gserviceaccount.com"
        options = (*more, *machine, "--service-account", account)
        with contextlib.redirect_stdout(printed[sound]):
            assert dry_run(sound, *options, experiment="librispeech_gim") == 0
        environment = dict(os.environ)
    jobs = {
        path.name: json.loads((path / "pipeline.json").read_text())
        for path in (pictures, sound)
    }
    texts = {path.name: text.getvalue() for path, text in printed.items()}
    return Compiled(jobs, texts, environment, calls)


def test_P7_compiling_needs_no_network_and_no_credentials(compiled, injected):
    assert all(tasks(job) for job in compiled.jobs.values())
    injected(len(compiled.jobs), compiled.calls)


def test_machines_are_as_large_as_was_asked_for(compiled):
    small, large = (json.dumps(compiled.jobs[m]) for m in ("pictures", "sound"))
    for text, cpus, gib, disk, hours in (
        (small, 4.0, 16.0, 100, 168),
        (large, 8.0, 52.0, 500, 48),
    ):
        assert f'"cpuLimit": {cpus}, "memoryLimit": {gib}' in text
        # The job's settings are a text in the text.
        plain = text.replace("\\", "")
        assert f'"boot_disk_size_gb": {disk}' in plain
        assert f'"timeout": "{hours * 3600}s"' in plain


def tasks(job):
    return job["pipelineSpec"]["root"]["dag"]["tasks"]


def parameter(job, task, name):
    value = tasks(job)[task]["inputs"]["parameters"][name]["runtimeValue"]
    return value["constantValue"]["stringValue"]


@pytest.mark.parametrize(
    ("modality", "added"),
    [("pictures", {"BulkInferrer"}), ("sound", {"RecordReader"})],
)
def test_P7_it_is_a_pipeline_job_with_all_components(compiled, modality, added):
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    proto = json_format.ParseDict(
        compiled.jobs[modality], pipeline_spec_pb2.PipelineJob()
    )
    directory = proto.runtime_config.gcs_output_directory
    assert directory == f"{ROOT}/pipeline"
    spec = json_format.ParseDict(
        json_format.MessageToDict(proto.pipeline_spec),
        pipeline_spec_pb2.PipelineSpec(),
    )
    assert COMPONENTS | added <= set(spec.root.dag.tasks)
    assert COMPONENTS | added <= set(spec.components)
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec),
        pipeline_spec_pb2.PipelineDeploymentConfig(),
    )
    containers = {
        name: executor.container
        for name, executor in deployment.executors.items()
        if executor.HasField("container")
    }
    assert {c.image for c in containers.values()} == {IMAGE}
    cpus = {"pictures": 4, "sound": 8}[modality]
    assert containers["LinearProbe_executor"].resources.cpu_limit == cpus


def test_P8_no_secret_is_in_it_and_no_local_path(compiled):
    """No value of the environment, and nothing that looks like a key."""
    environment = compiled.environment
    text = json.dumps(compiled.jobs)
    assert environment["GIM_TEST_TOKEN"] == SECRET
    ours = {"my-project", IMAGE, ROOT}
    found = {
        name
        for name, value in environment.items()
        if len(value) > 5 and value not in ours and value in text
    }
    assert found == set()
    assert not KEY_LIKE.search(text)
    for folder in (os.environ["HOME"], os.getcwd(), "/tmp"):
        assert f"{folder}/" not in text


def test_training_is_a_custom_job_of_vertex(compiled):
    from google.cloud.aiplatform_v1.types import CustomJob
    from tfx.extensions.google_cloud_ai_platform import training_clients

    custom = json.loads(
        parameter(compiled.jobs["sound"], "Trainer", "custom_config")
    )
    job = custom["ai_platform_training_args"]
    assert job.pop("project") == "my-project"
    # The job as TFX's Trainer makes it, on the way to its client.
    client = object.__new__(training_clients.VertexJobClient)
    made = client.create_training_job(
        {},
        {},
        {"custom_config": json.dumps(custom)},
        "tfx.components.trainer.executor.GenericExecutor",
        job,
        None,
        {},
    )
    spec = CustomJob(made).job_spec
    (pool,) = spec.worker_pool_specs
    assert pool.machine_spec.accelerator_type.name == "NVIDIA_TESLA_T4"
    assert pool.machine_spec.accelerator_count == 2
    assert pool.container_spec.image_uri == IMAGE
    command = list(pool.container_spec.command)
    assert command[:3] == ["python", "-m", "tfx.scripts.run_executor"]
    assert "GenericExecutor" in command[4]
    assert spec.scheduling.strategy.name == "SPOT"
    base = spec.base_output_directory.output_uri_prefix
    assert custom["run_dir"] == f"/gcs/{base[5:]}/checkpoints"
    assert custom["tensorboard_dir"] == f"{base}/logs"
    assert base.startswith(f"{ROOT}/training/")
    # A bucket is read where Vertex AI mounts it.
    data = json.loads(parameter(compiled.jobs["sound"], "RecordGen", "data"))
    assert data["path"] == "/gcs/my-bucket/LibriSpeech"


def test_the_plan_names_components_machines_and_inputs(compiled):
    from pipelines import vertex_plan

    steps = vertex_plan.steps(compiled.jobs["sound"])
    names = [step.name for step in steps]
    assert names.index("RecordGen") < names.index("Trainer")
    assert names.index("Push") < names.index("Report")
    (trainer,) = (step for step in steps if step.name == "Trainer")
    assert "1 x n1-standard-8 with 2 x NVIDIA_TESLA_T4" in trainer.machine
    assert trainer.reads == ("RecordGen.examples",)
    embedded = vertex_plan.inputs(experiments.get("fashion_mnist_gim"))
    assert embedded["shards"].startswith("train ")
    elsewhere = config.resolve(
        experiments.get("librispeech_gim"), ["data.path='gs://b/x'"]
    )
    assert "not visible" in vertex_plan.inputs(elsewhere)["size"]


def facts(text):
    """The lines "name: value" below the table."""
    lines = [line.partition(":") for line in text.splitlines()]
    return {name: value.strip() for name, colon, value in lines if colon}


@pytest.mark.parametrize("modality", ["pictures", "sound"])
def test_P7_the_dry_run_prints_what_would_be_submitted(compiled, modality):
    from pipelines import vertex_plan

    text = compiled.printed[modality]
    table, _, rest = text.partition("\n\n")
    header, *rows = table.splitlines()
    assert header.split() == ["component", "machine", "reads"]
    cells = [re.split(r"\s{2,}", row.strip()) for row in rows]
    printed = [tuple(row) for row in cells if set(row[0]) != {"-"}]
    steps = vertex_plan.steps(compiled.jobs[modality])
    assert {name for name, _, _ in printed} >= COMPONENTS
    assert printed == [
        (step.name, step.machine, ", ".join(step.reads) or "-")
        for step in steps
    ]
    machines = {name: machine for name, machine, _ in printed}
    others = {"pictures": "4 cores, 16 GB", "sound": "8 cores, 52 GB"}
    assert machines["LinearProbe"] == others[modality]
    trains = "starts 1 x n1-standard-8"
    if modality == "sound":
        trains += " with 2 x NVIDIA_TESLA_T4"
    assert machines["Trainer"].endswith(trains)
    told = facts(rest)
    assert told["images"] == IMAGE
    assert told["project"] == "my-project"
    assert told["region"] == "europe-west4"
    assert told["pipeline root"] == f"{ROOT}/pipeline"
    assert told["compiled"].endswith(f"{modality}/pipeline.json")
    assert re.match(
        r"[\d,]+ steps a module of \d+, [\d,]+ exam", told["training"]
    )
    assert text.endswith("\nDry run: nothing was submitted.\n")


def test_P7_the_dry_run_prints_the_inputs_that_it_can_see(compiled):
    pictures, sound = (facts(text) for text in compiled.printed.values())
    assert pictures["data"] == "embedded, inside the image"
    shards = re.findall(r"(\w+) (\d+)", pictures["shards"])
    assert {"train", "test"} <= {split for split, _ in shards}
    assert all(int(count) > 0 for _, count in shards)
    assert "shards" not in sound
    assert sound["size"] == "not visible from here"
    assert sound["data"].endswith("gs://my-bucket/LibriSpeech")
    account = "runner@my-project.iam.gserviceaccount.com"
    assert sound["runs as"] == account
    assert pictures["runs as"] == "the project's default account"
    assert sound["trains on"].startswith("spot machines, at most 48 h")
    assert pictures["trains on"].startswith("standard machines")


def test_P7_the_dry_run_prints_the_size_of_data_at_hand(tmp_path, capsys):
    for split in ("train", "test"):
        for name in ("dark", "light"):
            put(tmp_path / "data" / split / name / "1.png", bytes(300_000))
    more = ("--data", str(tmp_path / "data"))
    settings = ("data.source=folder", 'data.class_names=["dark", "light"]')
    for setting in settings:
        more += ("--set", setting)
    assert dry_run(tmp_path / "out", *more) == 0
    told = facts(capsys.readouterr().out)
    assert told["size"] == "4 files, 1.2 MB"
    assert told["shards"].startswith("train 1")


def test_custom_types_can_be_imported_by_their_titles(compiled):
    from tfx.utils import import_utils

    for name in ("DataReport", "ProbeReport", "RunReport"):
        assert f"pipelines.{name}" in json.dumps(compiled.jobs["pictures"])
        found = import_utils.import_class_by_path(f"pipelines.{name}")
        assert f"pipelines.{name}" == found.TYPE_NAME


def test_P8_a_key_among_the_settings_is_refused_and_not_repeated(
    small, tmp_path
):
    from pipelines import vertex_runner

    key = f"AIza{'k' * 35}"
    leaking = config.resolve(small, [f"data.path='/data/{key}'"])
    vertex = Vertex(project="my-project", region="us-east1", image=IMAGE)
    with pytest.raises(ConfigError, match="Google API key") as caught:
        vertex_runner.compile_pipeline(
            leaking,
            ROOT,
            tmp_path / "pipeline.json",
            vertex=vertex,
            data_fingerprint="f",
        )
    assert key not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_accelerator_is_refused(small, tmp_path):
    from pipelines import vertex_runner

    vertex = Vertex(
        project="my-project",
        region="us-east1",
        image=IMAGE,
        pools=(Machines(accelerator="NVIDIA_NONE"),),
    )
    with pytest.raises(ConfigError, match="--accelerator"):
        vertex_runner.compile_pipeline(
            small,
            ROOT,
            tmp_path / "pipeline.json",
            vertex=vertex,
            data_fingerprint="f",
        )


def test_security_without_credentials_submitting_says_what_to_do(
    compiled, tmp_path, monkeypatch
):
    from pipelines import vertex_runner

    # As on a machine where nobody has logged in: no file, no metadata server.
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    file = tmp_path / "pipeline.json"
    file.write_text(json.dumps(compiled.jobs["pictures"]))
    vertex = Vertex(project="my-project", region="us-east1", image=IMAGE)
    with pytest.raises(Exception, match="gcloud auth") as caught:
        vertex_runner.submit(
            experiments.get("fashion_mnist_gim"), ROOT, file, vertex
        )
    assert type(caught.value).__name__ == "CloudError"
