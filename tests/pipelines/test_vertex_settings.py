"""Projects, regions, machines and places on Vertex AI; imports no TFX."""

import pytest

from gim_tf import cli, config
from gim_tf.errors import ConfigError
from pipelines import secrecy
from pipelines.mounts import mounted
from pipelines.vertex_settings import (
    Machines,
    Vertex,
    check_accelerators,
    vertex_places,
)

pytestmark = pytest.mark.pipeline

GOOD = {"project": "my-project", "region": "europe-west4", "image": "gim:1"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"project": "My Project"}, "--project must be like my-project"),
        ({"region": "Europe"}, "--region must be like europe-west4"),
        ({"service_account": "me@example.org"}, "--service-account"),
        ({"tensorboard": "tensorboards/1"}, "--tensorboard must be like"),
        (
            {"tensorboard": "projects/p/locations/r/tensorboards/1"},
            "needs a --service-account",
        ),
        ({"timeout_hours": 0}, "--timeout-hours must be > 0, received 0"),
        ({"cpus": -1.0}, "--cpus must be > 0"),
        ({"memory_gb": float("inf")}, "--memory-gb must be > 0"),
        ({"pools": (Machines(disk_gb=0),)}, "--disk-gb must be > 0"),
        ({"pools": (Machines(replicas=4),)}, "one machine, received 4"),
        ({"pools": (Machines(), Machines())}, "one machine, received 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(changed, message):
    Vertex(**GOOD)
    with pytest.raises(ConfigError, match=message):
        Vertex(**{**GOOD, **changed})


@pytest.mark.parametrize("strategy", ["none", "multiworker"])
def test_accelerators_that_would_be_idle_are_refused(small, strategy):
    def check(strategy, schedule="simultaneous", **machine):
        experiment = config.resolve(
            small,
            [
                f"training.strategy={strategy!r}",
                f"training.schedule={schedule}",
            ],
        )
        vertex = Vertex(**GOOD, pools=(Machines(**machine),))
        check_accelerators(experiment, vertex)

    two = {"accelerator": "NVIDIA_TESLA_T4", "accelerators": 2}
    with pytest.raises(ConfigError, match="names 2, of which") as caught:
        check(strategy, **two)
    assert f"{strategy!r} uses one" in str(caught.value)
    assert "\n" not in str(caught.value)
    check("mirrored", **two)
    check("none", "decoupled", **two)
    check(strategy, accelerator="NVIDIA_TESLA_T4")
    check(strategy, accelerators=2)  # of none


def test_the_command_refuses_them_before_it_loads_tfx(tmp_path, capsys):
    command = ["run", "--experiment", "fashion_mnist_gim", "--dry-run"]
    command += ["--runner", "vertex", "--project", "my-project"]
    command += ["--region", "europe-west4", "--image", "gim:1"]
    command += ["--pipeline-root", "gs://bucket/gim"]
    command += ["--output-dir", str(tmp_path / "out")]
    assert cli.main([*command, "--accelerator", "NVIDIA_TESLA_T4:2"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("gim: error: --accelerator names 2, of which")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("root", ["bucket/gim", "s3://b/x", "gs://", "/gcs/b"])
def test_the_root_must_be_in_a_bucket(root):
    with pytest.raises(ConfigError, match="--pipeline-root must be like"):
        vertex_places(root, name="n", schema_file="s")


def test_a_training_s_folders_are_those_that_vertex_tells_its_container():
    places = vertex_places("gs://b-1/gim/", name="n", schema_file="s")
    assert places.pipeline_root == "gs://b-1/gim/pipeline"
    assert places.checkpoints("r") == "/gcs/b-1/gim/training/r/checkpoints"
    assert places.logs("r") == "gs://b-1/gim/training/r/logs"


def test_only_buckets_are_mounted():
    assert mounted("gs://b/x y/z") == "/gcs/b/x y/z"
    for path in ("/data", "s3://b/x", "data", ""):
        assert mounted(path) == path


@pytest.mark.parametrize(
    "text",
    [
        '{"private_key": "x"}',
        "-----BEGIN RSA PRIVATE KEY-----",
        "ya29.abcdefghijklmnopqrstuv",
        "AKIAABCDEFGHIJKLMNOP",
        "gs://user:password@host",
    ],
)
def test_keys_are_known_by_their_form(text):
    with pytest.raises(ConfigError, match="stored in clear"):
        secrecy.check_texts(["harmless", f"before {text} behind"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--runner", "vertex"), "also needs --project, --region, --pipeline-"),
        (("--project", "p"), "--project is for --runner vertex"),
        (("--dry-run",), "--dry-run is for --runner vertex"),
        ((), "needs --output-dir"),
    ],
)
def test_options_of_one_runner_are_refused_by_the_other(capsys, more, message):
    command = ["run", "--experiment", "fashion_mnist_gim", *more]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err
