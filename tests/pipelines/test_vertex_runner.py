"""The pipeline compiled for Vertex AI, without network or credentials."""

import json

import pytest

pytestmark = pytest.mark.pipeline

IMAGE = "registry.example/gim:1"


@pytest.fixture
def compiled(small, tmp_path, monkeypatch):
    from pipelines import vertex_runner

    monkeypatch.setenv("GIM_TEST_TOKEN", "hunter2-the-secret")
    file = tmp_path / "pipeline.json"
    job = vertex_runner.compile_pipeline(
        small,
        "gs://bucket/gim",
        file,
        image=IMAGE,
        data_fingerprint="f" * 12,
        beam_args=("--runner=DataflowRunner", "--project=p"),
        bulk_infer=True,
    )
    assert json.loads(file.read_text()) == job
    return job


def test_all_components_are_there(compiled):
    tasks = compiled["pipelineSpec"]["root"]["dag"]["tasks"]
    assert {
        "RecordGen",
        "StatisticsGen",
        "ExampleValidator",
        "DataGate",
        "Trainer",
        "LinearProbe",
        "Evaluator",
        "Bless",
        "Push",
        "Report",
        "BulkInferrer",
    } <= tasks.keys()
    executors = compiled["pipelineSpec"]["deploymentSpec"]["executors"]
    images = {
        e["container"]["image"] for e in executors.values() if "container" in e
    }
    assert images == {IMAGE}


def test_it_is_a_pipeline_job(compiled):
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    job = json_format.ParseDict(compiled, pipeline_spec_pb2.PipelineJob())
    assert job.runtime_config.gcs_output_directory == "gs://bucket/gim/pipeline"


def test_no_secret_and_no_local_path_is_in_it(compiled, tmp_path):
    text = json.dumps(compiled)
    assert "hunter2-the-secret" not in text
    assert str(tmp_path) not in text


def test_custom_types_can_be_imported_by_their_titles(compiled):
    from tfx.utils import import_utils

    for name in ("DataReport", "ProbeReport", "RunReport"):
        assert f"pipelines.{name}" in json.dumps(compiled)
        found = import_utils.import_class_by_path(f"pipelines.{name}")
        assert f"pipelines.{name}" == found.TYPE_NAME
