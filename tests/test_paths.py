"""Paths behind URLs do what paths of a disk do, or say why not in one line."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from gim_tf import config, jobs
from gim_tf.cli import main
from gim_tf.data.items import open_items
from gim_tf.data.shards import replaced_directory
from gim_tf.errors import CheckpointError, ConfigError, DataError
from gim_tf.export.manifest import verify_manifest, write_manifest
from gim_tf.jobs.growing import Limits, grow
from gim_tf.paths import (
    RemotePath,
    append_text,
    as_path,
    files_below,
    is_remote,
    local_path,
    matching,
    remove_tree,
    upload,
    write_whole,
)
from gim_tf.training.run_directory import RunDirectory
from tests.conftest import png
from tests.source_files import idx, open_, put, read


@pytest.fixture
def remote(request):
    """An empty place of its own in TensorFlow's file system in memory."""
    place = RemotePath(f"ram://{re.sub('[^a-z]', '-', request.node.name)}")
    yield place
    remove_tree(place)


@pytest.fixture(params=["disk", "url"])
def place(request, tmp_path, remote):
    """Both kinds: what is asked of one is asked of the other."""
    return tmp_path if request.param == "disk" else remote


def test_what_is_a_url():
    assert as_path("runs/a") == Path("runs/a")
    assert as_path("gs://bucket/a/") == RemotePath("gs://bucket/a")
    assert as_path("file:///a/b") == Path("/a/b")
    assert is_remote("gs://bucket")
    assert not is_remote("c:/gs//x")
    assert not is_remote("file:///a/b")
    assert str(as_path("gs://b/a") / Path("x") / "y") == "gs://b/a/x/y"
    assert str(as_path("gs://b/a/x").with_name("y")) == "gs://b/a/y"
    assert str(as_path("gs://b/a").parent) == "gs://b"
    assert as_path("gs://b").parent == as_path("gs://b")
    with pytest.raises(ConfigError, match="as text"):
        as_path(Path("gs://bucket/a"))
    with pytest.raises(ConfigError, match="received gs://bucket/a"):
        local_path("gs://bucket/a")


def test_both_kinds_of_path_do_the_same(place):
    folder = place / "a" / "b"
    folder.mkdir(parents=True, exist_ok=True)
    assert folder.is_dir()
    assert not (folder / "x").exists()
    with pytest.raises(FileNotFoundError):
        (folder / "x").read_text()
    with pytest.raises(FileNotFoundError):
        (folder / "x").unlink()
    (folder / "x").unlink(missing_ok=True)
    (folder / "x").write_bytes(b"0123456789")
    (folder / "y").touch()
    assert (folder / "x").is_file()
    assert (folder / "x").stat().st_size == 10
    assert sorted(p.name for p in folder.iterdir()) == ["x", "y"]
    with (folder / "x").open("rb") as file:
        assert (file.read(2), file.seek(-3, 2), file.read()) == (
            b"01",
            7,
            b"789",
        )
    for text in ("one\n", "two\n"):
        append_text(folder / "log", text)
    assert (folder / "log").read_text() == "one\ntwo\n"
    write_whole(folder / "log", "three")
    assert (folder / "log").read_text() == "three"
    assert files_below(place) == ["a/b/log", "a/b/x", "a/b/y"]
    assert [p.name for p in matching(str(folder / "?"))] == ["x", "y"]
    remove_tree(folder)
    remove_tree(folder)
    assert not (folder / "x").exists()


def test_a_run_directory_keeps_and_rewinds_its_history(place):
    run = RunDirectory(place)
    with run.locked():
        run.bind({"a": 1})
        for step in (1, 2, 3):
            run.append_history({"step": step})
    assert run.rewind_history(2) == [{"step": 1}, {"step": 2}]
    assert [line["step"] for line in RunDirectory(place).history()] == [1, 2]
    with pytest.raises(CheckpointError, match=r"other settings \(a\)"):
        run.bind({"a": 2})
    assert "run.lock" not in files_below(place) or isinstance(place, Path)


def test_a_folder_replaces_another_whole(remote, tmp_path):
    for name in ("old/x", "top"):
        put(remote / "target" / name, b"old")
    for name in ("new/x", "new/deep/y", "manifest"):
        put(tmp_path / name, b"new")
    upload(tmp_path, remote / "target")
    assert files_below(remote / "target") == files_below(tmp_path)
    assert (remote / "target" / "new" / "x").read_bytes() == b"new"


def test_what_stood_there_stays_if_writing_fails(remote):
    put(remote / "records" / "x", b"old")
    with (
        pytest.raises(ZeroDivisionError),
        replaced_directory(remote / "records") as partial,
    ):
        (partial / "x").write_text(str(1 // 0))
    assert (remote / "records" / "x").read_bytes() == b"old"


def test_an_altered_file_behind_a_url_is_found(remote):
    put(remote / "saved_model.pb", b"graph")
    put(remote / "variables" / "x", b"weights")
    write_manifest(remote, {"step": 3})
    assert verify_manifest(remote)["step"] == 3
    (remote / "variables" / "x").write_bytes(b"weightz")
    with pytest.raises(Exception, match="variables/x is altered"):
        verify_manifest(remote)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_behind_a_url(remote, tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 5), np.uint8)
    pack = gzip.compress if suffix else bytes
    sources = []
    for folder in (tmp_path, remote):
        labels = np.arange(6, dtype=np.uint8) % 2
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            put(folder / f"train-{kind}-ubyte{suffix}", pack(idx(array)))
        sources.append(open_("idx", folder))
    local, there = sources
    assert read(there, "train") == read(local, "train")
    assert there.fingerprint() == local.fingerprint()


@pytest.mark.parametrize("path", ["", "part-*"])
def test_tfrecord_files_are_read_behind_a_url(remote, tmp_path, path):
    example = tf.train.Example()
    pixels = np.zeros((4, 4, 1), np.uint8)
    example.features.feature["image"].bytes_list.value.append(png(pixels))
    example.features.feature["label"].int64_list.value.append(1)
    sources = []
    for folder in (tmp_path, remote):
        folder.mkdir(parents=True, exist_ok=True)
        for number in (1, 2):
            name = str(folder / f"part-train-{number}.tfrecord")
            with tf.io.TFRecordWriter(name) as writer:
                writer.write(example.SerializeToString())
        sources.append(open_("tfrecord", folder / path if path else folder))
    local, there = sources
    found = read(there, "train")
    assert len(found) == 2
    assert found == read(local, "train")
    assert there.fingerprint() == local.fingerprint()


@pytest.mark.parametrize("source", ["stl10", "folder"])
def test_a_source_that_needs_a_file_system_says_so(remote, source):
    put(remote / "train_X.bin", b"x")
    with pytest.raises(ConfigError, match="of a file system") as error:
        open_(source, remote).work("train")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "use",
    [
        RunDirectory,
        lambda url: as_path(url).exists(),
        lambda url: replaced_directory(as_path(url)).__enter__(),
        lambda url: open_("idx", url).work("train"),
    ],
)
def test_an_unknown_scheme_is_an_error_of_one_line(use):
    with pytest.raises((ConfigError, DataError), match="scheme 'foo'") as error:
        use("foo://bucket/run")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("report --output-dir foo://bucket/run", "scheme 'foo'"),
        ("run --experiment x --output-dir gs://b/run", "received gs://b/run"),
        ("embed a.png --model m --output s3://b/e", "received s3://b/e"),
    ],
)
def test_a_verb_says_which_urls_it_does_not_take(words, message, capsys):
    try:
        code = main(words.split())
    except SystemExit as end:  # what argparse refuses
        code = end.code
    assert code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "error: " in lines[-1]
    assert message in lines[-1]


def test_what_shares_a_file_system_takes_no_url(tiny, remote):
    decoupled = config.resolve(tiny, ["training.schedule=decoupled"])
    with pytest.raises(ConfigError, match="of a file system"):
        jobs.pretrain(decoupled, [], remote, tensorboard_dir=remote / "logs")
    with pytest.raises(ConfigError, match="of a file system"):
        grow(tiny, str(remote), limits=Limits())
    with pytest.raises(ConfigError, match="of a file system"):
        open_items(str(remote), suffixes=(".png",))
