"""TFX's own command takes the runner files: `tfx pipeline` and `tfx run`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# Each of its commands imports TFX anew.
pytestmark = [pytest.mark.pipeline, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
# Several commands in one process, since TFX takes half a minute to import.
COMMANDS = """
import sys
from tfx.tools.cli.cli_main import cli_group
for line in sys.argv[1:]:
    print("$ tfx", line, flush=True)
    try:
        cli_group.main(line.split(), standalone_mode=False)
    except SystemExit as stop:
        print("exit:", stop.code)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the commands said, and their home."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "HOME": str(home),
        # It asks the `pip` on PATH whether kfp is installed.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GIM_OUTPUT_DIR": f"{home}/outputs",
        "GIM_SET": "training.num_steps=3",
        "GIM_PROJECT": "my-project",
        "GIM_REGION": "europe-west4",
        "GIM_IMAGE": "gim:0.1.0",
        "GIM_PIPELINE_ROOT": "gs://my-bucket/gim",
    }
    local, vertex = "pipelines/local_runner.py", "pipelines/vertex_runner.py"
    lines = [
        f"pipeline compile --engine local --pipeline-path {local}",
        f"pipeline create --engine local --pipeline-path {local}",
        f"pipeline compile --engine vertex --pipeline-path {local}",
        f"pipeline create --engine vertex --pipeline-path {vertex}",
        "pipeline list --engine vertex",
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, *lines],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("$ tfx ")[1:]
    assert len(parts) == len(lines), done.stderr
    return dict(zip(lines, parts, strict=True)), home


def test_both_engines_compile_and_create(told):
    said, home = told
    for line, text in said.items():
        assert "exit:" not in text, text
        if "compile" in line:
            assert "compiled successfully" in text
        if "create" in line:
            assert '"fashion-mnist-gim" created successfully' in text
    assert "fashion-mnist-gim" in said["pipeline list --engine vertex"]
    assert (home / "tfx/local/fashion-mnist-gim").is_dir()


def test_what_vertex_gets_is_the_compiled_pipeline(told):
    _, home = told
    compiled = home / "outputs/pipeline.json"
    created = home / "tfx/vertex/fashion-mnist-gim/pipeline.json"
    jobs = [json.loads(p.read_text()) for p in (compiled, created)]
    for job in jobs:
        tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
        assert {"RecordGen", "Trainer", "Push"} <= tasks.keys()
        assert '"num_steps\\": 3' in json.dumps(job)


def test_compiling_runs_nothing(told):
    outputs = told[1] / "outputs"
    assert {path.name for path in outputs.iterdir()} == {
        "pipeline.json",
        "schema",
    }
