"""The Trainer's entry as Vertex AI starts it; imports no TFX."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gim_tf import config
from gim_tf.errors import CheckpointError, ConfigError
from gim_tf.training.run_directory import RunDirectory
from pipelines.job_environment import job_places
from tests.saved_runs import newest

CUSTOM = {"run_dir": "usual/run", "tensorboard_dir": "usual/logs"}
ROOT = Path(__file__).parents[2]
# The entry in a process of its own, with what TFX would hand it.
ENTRY = """
import json, sys
from types import SimpleNamespace
from pipelines.trainer_module import run_fn
run_fn(SimpleNamespace(**json.loads(sys.argv[1])))
"""


def arguments(records, tiny, folder, **more):
    return {
        "train_files": [f"{records}/Split-train/*"],
        "serving_model_dir": f"{folder}/model/Format-Serving",
        "model_run_dir": f"{folder}/model_run",
        "custom_config": {
            "experiment": config.to_dict(tiny),
            "run_dir": f"{folder}/run",
            "tensorboard_dir": f"{folder}/logs",
            "resume": "auto",
            "sources": "s",
        },
        **more,
    }


def job_environment(folder, scheme=""):
    return {
        "AIP_CHECKPOINT_DIR": f"{folder}/job/checkpoints/",
        "AIP_TENSORBOARD_LOG_DIR": f"{scheme}{folder}/job/logs/",
        "AIP_MODEL_DIR": f"{scheme}{folder}/job/model/",
        "TF_CONFIG": json.dumps({"cluster": {"chief": ["a:1"]}}),
    }


def test_the_environment_comes_first_and_the_pipeline_s_places_last():
    assert job_places(CUSTOM, {}) == ("usual/run", "usual/logs", None)
    told = job_places(CUSTOM, job_environment("there"))
    assert told == (
        "there/job/checkpoints",
        "there/job/logs",
        "there/job/model",
    )


def test_checkpoints_in_a_bucket_need_its_mount():
    for place in ("gs://none/x", "/gcs/none/x"):
        with pytest.raises(CheckpointError, match="mounted at /gcs/none"):
            job_places(CUSTOM, {"AIP_CHECKPOINT_DIR": place})
    other = "ram://bucket/x"
    assert job_places(CUSTOM, {"AIP_CHECKPOINT_DIR": other}).run_dir == other
    with pytest.raises(ConfigError, match="scheme 'foo'"):
        job_places(CUSTOM, {"AIP_CHECKPOINT_DIR": "foo://bucket/x"})


def test_a_second_machine_is_refused():
    """It would train the same modules, into the same directory."""
    cluster = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}
    with pytest.raises(ConfigError, match="TF_CONFIG names 2"):
        job_places(CUSTOM, {"TF_CONFIG": json.dumps(cluster)})
    with pytest.raises(ConfigError, match="must be JSON"):
        job_places(CUSTOM, {"TF_CONFIG": "worker 1"})


@pytest.mark.integration
def test_a_job_writes_where_vertex_tells_it(
    tiny_records, tiny, tmp_path, monkeypatch
):
    """The export goes to a URL, which no function of `os` could open.

    TensorFlow's ram:// is no choice: it lists `assets.extra` in `assets`.
    """
    from gim_tf.export.manifest import verify_manifest
    from pipelines.trainer_module import run_fn

    remote = f"file://{tmp_path}/remote"
    for name, value in job_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIP_MODEL_DIR", f"{remote}/job/model/")
    serving = f"{remote}/model/Format-Serving"
    told = arguments(tiny_records, tiny, tmp_path, serving_model_dir=serving)
    run_fn(SimpleNamespace(**told))
    history = RunDirectory(tmp_path / "job/checkpoints").history()
    assert [line["step"] for line in history] == [2, 4, 6]
    assert list((tmp_path / "job/logs").rglob("events.*"))
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "logs").exists()
    assert list((tmp_path / "model_run/tensorboard").rglob("events.*"))
    for place in (serving, f"{remote}/job/model"):
        copied = copy_of(place, tmp_path / "copy")
        assert verify_manifest(copied)["step"] == 6
        shutil.rmtree(copied)


def copy_of(remote, target):
    from pipelines import staging

    with staging.read(remote) as local:
        assert local != remote
        shutil.copytree(local, target)
    assert not Path(local).exists()
    return target


@pytest.mark.faults
def test_T2_a_preempted_job_saves_and_goes_on(
    tiny_records, tiny, tmp_path, injected
):
    """SIGTERM, as a machine is taken away; then the job is started again."""
    longer = config.resolve(tiny, ["training.num_steps=100"])
    told = json.dumps(arguments(tiny_records, longer, tmp_path))
    environment = {
        **job_environment(tmp_path),
        "PATH": "/usr/bin:/bin",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }

    def start():
        return subprocess.Popen(
            [sys.executable, "-c", ENTRY, told],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    directory = tmp_path / "job/checkpoints"
    first = start()
    deadline = time.monotonic() + 300
    while not newest(directory):
        assert first.poll() is None, first.stderr.read()
        assert time.monotonic() < deadline, "no checkpoint in 300 s"
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    _, errors = first.communicate(timeout=300)
    assert "Interrupted by signal 15 after step" in errors
    step = newest(directory)
    assert f"after step {step}," in errors
    assert 0 < step < 100
    second = start()
    _, errors = second.communicate(timeout=300)
    assert second.returncode == 0, errors
    assert newest(directory) == 100
    steps = [line["step"] for line in RunDirectory(directory).history()]
    assert steps == sorted({*steps})
    assert (tmp_path / "job/model/saved_model.pb").is_file()
    every = range(2, 101, 2)  # training.log_every
    injected(1, set(every) - set(steps))
