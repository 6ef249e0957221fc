"""The Beam job of `gim embed`: killed, resumed, the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gim_tf import config, experiments, jobs
from tests.conftest import TINY
from tests.saved_models import write_untrained

pytestmark = pytest.mark.pipeline

ROOT = Path(__file__).parents[2]
# A process that ends by SIGKILL when it is about to write its eighth shard.
KILLED = """
import os, signal, sys
from gim_tf.jobs import bulk_embedding
from pipelines import embed
written, write = [], bulk_embedding.embed_piece
def embed_piece(embedder, task):
    if len(written) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    write(embedder, task)
    written.append(task)
bulk_embedding.embed_piece = embed_piece
embed.embed([sys.argv[1]], *sys.argv[2:], split="test", shard_size=100)
"""


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """2,000 embedded pictures as records, and an untrained export."""
    folder = tmp_path_factory.mktemp("embed")
    tiny = config.resolve(experiments.get("fashion_mnist_gim"), TINY)
    jobs.ingest(tiny, folder / "records")
    write_untrained(tiny, folder / "model")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_job_goes_on_and_ends_with_the_same_bytes(embedded):
    from gim_tf.data.embeddings import read_rows
    from pipelines.embed import embed

    source, model = embedded / "records", embedded / "model"
    output = embedded / "test.parquet"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source, model, output],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    assert not output.exists()
    partial = embedded / ".test.parquet.partial"
    torn = partial / ".part-00003-of-00020.parquet.7-7"
    torn.write_bytes(b"half of it")
    written = {path: path.stat().st_mtime_ns for path in partial.glob("part-*")}
    assert len(written) == 7
    seen = []
    facts = embed(
        [source],
        model,
        output,
        split="test",
        shard_size=100,
        progress=lambda *counts: seen.append(counts),
    )
    assert (facts.count, facts.num_rejected) == (2000, 0)
    assert facts.class_names[9] == "ankle boot"
    assert seen[-1] == (2000, 2000)
    for path, time in written.items():
        assert (output / path.name).stat().st_mtime_ns == time
    whole = embedded / "whole.parquet"
    embed([source], model, whole, split="test", shard_size=100)
    assert contents(output) == contents(whole)
    assert not partial.exists()
    (first, *_) = read_rows(output)
    assert first.splits[0] == "test"
    assert len({one for part in read_rows(output) for one in part.ids}) == 2000


def test_a_user_s_mistake_is_one_plain_error(embedded, tmp_path):
    from gim_tf.errors import DataError
    from pipelines.embed import embed

    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="allows 0: bad"):
        embed([tmp_path], embedded / "model", tmp_path / "out.parquet")


def test_two_jobs_do_not_write_one_output(embedded, tmp_path):
    """The second one is a process of its own, as a user would start it."""
    from gim_tf.jobs.bulk_embedding import only_writer

    output = tmp_path / "out.parquet"
    command = [sys.executable, "-m", "gim_tf.cli", "embed"]
    options = ["--model", embedded / "model", "--output", output]
    with only_writer(output):
        second = subprocess.run(
            [*command, embedded / "records", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode == 2
    (line,) = [x for x in second.stderr.splitlines() if "error" in x]
    assert f"gim: error: {output} is in use by process {os.getpid()};" in line
    assert list(tmp_path.iterdir()) == []
