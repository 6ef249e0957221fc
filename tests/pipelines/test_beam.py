"""Ingest on Beam's worker processes: flat memory; packages for workers."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gim_tf import config, experiments
from gim_tf.data.records import count_records
from tests.test_container import clean_directory

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[2]
CLASSES = ("dark", "light")
MANY, FEW = 20_000, 2_000
SIDE = 48  # 6.9 kB of noise: the many are 138 MB, which nobody may hold
WORKERS = 2
# Ingest as `gim run` starts it, watched from outside of Beam.
INGEST = f"""
import json, sys, threading, time
import psutil
from pathlib import Path
from gim_tf import config
from pipelines import local_runner

peaks = {{}}

def watch():
    me = psutil.Process()
    while True:
        for process in [me, *me.children(recursive=True)]:
            place = Path(f"/proc/{{process.pid}}")
            try:
                status = (place / "status").read_text()
                command = (place / "cmdline").read_bytes()
            except OSError:
                continue
            # Not what forks for a moment, which has this process' memory.
            if process != me and b"sdk_worker_main" not in command:
                continue
            if "VmHWM" in status:
                kb = int(status.split("VmHWM:")[1].split()[0])
                peaks[process.pid] = kb / 1024
        time.sleep(0.2)

threading.Thread(target=watch, daemon=True).start()
experiment = config.from_dict(json.load(open(sys.argv[1])))
result = local_runner.run(
    experiment,
    sys.argv[2],
    to_nodes=["RecordGen"],
    beam_args=(
        "--runner=DirectRunner",
        "--direct_running_mode=multi_processing",
        "--direct_num_workers={WORKERS}",
    ),
)
(run,) = result.components
mine = peaks.pop(psutil.Process().pid)
heavy = sorted(p for p in peaks.values() if p > 200)  # not their shells
print(json.dumps({{
    "mine": mine, "workers": heavy, "examples": run.output("examples"),
    "seconds": run.seconds,
}}))
"""

# What a worker unpickles and runs, and where its modules came from.
WORKER = """
import json, sys
import pipelines.embed, pipelines.evaluator_module, pipelines.ingest
from gim_tf import experiments
from gim_tf.data.sources import open_source

data = experiments.get("fashion_mnist_gim").data
source = open_source(data)
records = [
    next(source.read(next(iter(source.work(split)))))
    for split in ("train", "test")
]
ours = ("gim_tf", "pipelines", "serving")
files = [
    module.__file__
    for name, module in sorted(sys.modules.items())
    if name.partition(".")[0] in ours and module.__file__
]
print(json.dumps({"files": files, "records": [r.split for r in records]}))
"""


def write_pictures(folder, count):
    """Pictures in two classes and both splits, all of them different."""
    generator = np.random.default_rng(0)
    for split, share in (("train", 0.8), ("test", 0.2)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
        for index in range(int(count * share)):
            pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            path = folder / split / CLASSES[index % 2] / f"{index:05d}.png"
            Image.fromarray(pixels).save(path, compress_level=0)
    return folder


def ingest(folder, count):
    source = write_pictures(folder / "source", count)
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"),
        [
            "data.source=folder",
            f"data.path={source}",
            f"data.class_names={list(CLASSES)}",
        ],
    )
    settings = folder / "experiment.json"
    settings.write_text(config.to_json(experiment))
    done = subprocess.run(
        [sys.executable, "-c", INGEST, settings, folder / "out"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_ten_times_the_records_need_no_more_memory(tmp_path):
    found = {}
    for count in (FEW, MANY):
        found[count] = ingest(tmp_path / str(count), count)
        examples = Path(found[count]["examples"])
        shards = sorted(examples.glob("Split-*/data_tfrecord-*"))
        assert count_records([str(shard) for shard in shards]) == count
        found[count]["shards"] = len(shards)
        sizes = [shard.stat().st_size for shard in shards]
        # Cut into pieces of bounded size: no worker wrote most of it.
        assert max(sizes) < 2.5e6
    (tmp_path / "found.json").write_text(json.dumps(found))
    data_mib = MANY * SIDE * SIDE * 3 / 2**20
    few, many = found[FEW], found[MANY]
    assert many["shards"] >= 8 * few["shards"]
    assert len(many["workers"]) == len(few["workers"]) == WORKERS
    assert many["mine"] - few["mine"] < data_mib / 3
    assert max(many["workers"]) - max(few["workers"]) < data_mib / 3


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What `--extra_package` sends, built as docs/cloud.md says."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"),
            *("--no-build-isolation", "--wheel-dir", folder / "dist", "."),
        ],
        cwd=clean_directory(folder / "src"),
        check=True,
    )
    (wheel,) = (folder / "dist").glob("gim_tf-*.whl")
    return wheel


def test_the_package_for_workers_is_a_whole_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "pipelines/ingest.py",
        "pipelines/embed.py",
        "pipelines/evaluator_module.py",
        "pipelines/schema/records.pbtxt",
        "gim_tf/data/sources/folder.py",
    ):
        assert needed in names


@pytest.mark.slow
def test_a_worker_that_has_the_wheel_alone_reads_records(wheel, tmp_path):
    """Installed as a worker does, and imported from there: TFX comes along."""
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"),
            *("--no-index", "--target", site, wheel),
        ],
        check=True,
    )
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert [Path(file).is_relative_to(site) for file in found["files"]] == [
        True
    ] * len(found["files"])
    assert len(found["files"]) > 20
    assert found["records"] == ["train", "test"]
