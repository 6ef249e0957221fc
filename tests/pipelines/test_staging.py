"""Artifacts that lie at URLs: components copy them, and leave no rest.

TensorFlow's file:// stands for an object store: no function of `os` opens it,
and Vertex AI's gs:// goes the same way.
"""

import json
import tempfile
from pathlib import Path

import pytest

from gim_tf import jobs
from gim_tf.export.manifest import verify_manifest
from pipelines import staging
from tests.saved_models import write_untrained

pytestmark = pytest.mark.pipeline


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where folders are copied to; none may be left there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_what_is_written_appears_whole_or_not_at_all(tmp_path, scratch):
    target = tmp_path / "target"
    with staging.written(f"file://{target}") as local:
        Path(local, "deep").mkdir(parents=True)
        Path(local, "deep", "file").write_text("whole")
        assert not target.exists()
    assert (target / "deep" / "file").read_text() == "whole"
    with pytest.raises(ValueError, match="half"):
        write_half(f"file://{tmp_path}/other")
    assert not (tmp_path / "other").exists()
    with staging.read(f"file://{target}") as local:
        assert Path(local, "deep", "file").read_text() == "whole"
    assert list(scratch.glob("gim-*")) == []


def write_half(target):
    with staging.written(target) as local:
        Path(local).mkdir()
        Path(local, "file").write_text("half")
        raise ValueError("half")


def test_local_folders_are_used_as_they_are(tmp_path):
    for context in (staging.read, staging.written):
        with context(str(tmp_path)) as local:
            assert local == str(tmp_path)


def call(component, **arguments):
    """A function component's own function."""
    component.EXECUTOR_SPEC.executor_class._FUNCTION(**arguments)


def artifact(kind, uri):
    from tfx.types import standard_artifacts

    made = getattr(standard_artifacts, kind)()
    made.uri = str(uri)
    return made


def test_probe_and_push_work_on_artifacts_at_urls(small, tmp_path, scratch):
    from tfx.components.evaluator import constants

    from gim_tf import config
    from pipelines import artifacts, components

    jobs.ingest(small, tmp_path / "records")
    write_untrained(small, tmp_path / "model" / "Format-Serving")
    remote = f"file://{tmp_path}/remote"
    probed = artifact("Model", f"{remote}/probed")
    report = artifacts.ProbeReport()
    report.uri = f"{remote}/report"
    call(
        components.LinearProbe,
        examples=artifact("Examples", f"file://{tmp_path}/records"),
        model=artifact("Model", f"file://{tmp_path}/model"),
        probed=probed,
        report=report,
        experiment=config.to_json(small),
        tensorboard_dir=f"{remote}/logs",
        sources="s",
    )
    folder = tmp_path / "remote"
    found = json.loads((folder / "report/probes.json").read_text())
    assert list(found["tasks"]["class"]["modules"]) == ["module_1", "module_2"]
    assert not (folder / "report/model").exists()
    verify_manifest(folder / "probed/Format-Serving")
    assert list((folder / "logs").rglob("events.*"))
    blessing = artifact("ModelBlessing", f"{remote}/blessing")
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, 1)
    pushed = artifact("PushedModel", f"{remote}/pushed")
    for _ in range(2):
        call(
            components.Push,
            model=probed,
            blessing=blessing,
            pushed=pushed,
            serving_dir=f"{remote}/serving/small",
            sources="s",
        )
    served = folder / "serving/small"
    assert sorted(path.name for path in served.iterdir()) == ["1", "2"]
    verify_manifest(served / "2")
    assert list(scratch.glob("gim-*")) == []
