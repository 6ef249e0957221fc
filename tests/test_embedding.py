"""Bulk embedding: what is read, what is written, and what is not done twice."""

import base64
import fcntl
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from gim_tf.data import embeddings, items
from gim_tf.data.embeddings import Facts, Rows, shard_name, write_shard
from gim_tf.data.items import Item, open_items, read_piece
from gim_tf.data.records import Rejected
from gim_tf.errors import DataError
from gim_tf.jobs import bulk_embedding
from gim_tf.training.run_directory import held
from tests.source_files import encode, noise, put

SUFFIXES = (".png", ".jpg")


def rows(count=3, seed=0):
    generator = np.random.default_rng(seed)
    features = {
        "module_1": generator.normal(size=(count, 2)).astype("f"),
        "module_2": generator.normal(size=(count, 5)).astype("f"),
    }
    ids = [f"{seed}-{index}" for index in range(count)]
    return Rows(ids, [None] * count, [-1, 7, 0][:count], features)


def everything(source, size=2):
    return [x for piece in source.pieces(size) for x in read_piece(piece)]


def test_a_folder_is_cut_in_order_and_ids_lead_back(tmp_path):
    for name in ("b/2.png", "a.PNG", "b/1.jpg", ".hidden.png", "b/notes.txt"):
        put(tmp_path / name, name.encode())
    source = open_items(tmp_path, suffixes=SUFFIXES)
    found = everything(source)
    assert [one.id for one in found] == ["a.PNG", "b/1.jpg", "b/2.png"]
    assert found[1] == Item("b/1.jpg", None, -1, b"b/1.jpg")
    assert [piece.size for piece in source.pieces(2)] == [2, 1]
    wanted = ["b/2.png", "b/notes.txt", "nothing"]
    assert source.find(wanted) == {"b/2.png": found[2]}
    before = source.fingerprint()
    put(tmp_path / "a.PNG", b"a.pnG")
    assert open_items(tmp_path, suffixes=SUFFIXES).fingerprint() != before


def test_files_that_are_missing_are_rejected_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.png", b"a")
    source = open_items(["a.png", "gone.png"], suffixes=SUFFIXES)
    good, bad = everything(source)
    assert (good.id, bad.id) == ("a.png", "gone.png")
    assert isinstance(bad, Rejected)
    monkeypatch.chdir("/")
    again = open_items(["a.png"], suffixes=SUFFIXES, root=tmp_path)
    assert again.find(["a.png"]) == {"a.png": good}


def test_records_keep_id_split_and_label(tiny_records):
    source = open_items(tiny_records, suffixes=SUFFIXES)
    found = everything(source, size=16)
    assert len(found) == 60
    assert (found[3].id, found[3].split, found[3].label) == (
        "test/3",
        "test",
        3,
    )
    sizes = [piece.size for piece in source.pieces(16)]
    assert sizes == [16, 4, 16, 16, 8]
    test = open_items(tiny_records, suffixes=SUFFIXES, split="test")
    assert everything(test) == found[:20]
    assert test.find(["test/7", "train/7"]) == {"test/7": found[7]}
    assert test.fingerprint() != source.fingerprint()


@pytest.mark.parametrize(
    ("source", "split", "message"),
    [
        ([""], None, "holds no file that ends in"),
        (["", "a"], None, "one folder and nothing else"),
        (["a", "a"], None, "given 2 times"),
        (["a"], "test", "Only records have splits"),
    ],
)
def test_sources_that_are_none(tmp_path, source, split, message):
    put(tmp_path / "a", b"")
    paths = [tmp_path / one for one in source]
    with pytest.raises(DataError, match=message):
        open_items(paths, suffixes=SUFFIXES, split=split)


def test_an_unknown_split_and_records_that_shrank(tiny_records):
    with pytest.raises(DataError, match="it has 'test', 'train'"):
        open_items(tiny_records, suffixes=SUFFIXES, split="dev")
    piece = open_items(tiny_records, suffixes=SUFFIXES).pieces(100)[0]
    with pytest.raises(DataError, match="has 20 records and had 21"):
        list(read_piece(piece._replace(stop=21)))


def test_a_shard_has_the_promised_types_and_equal_bytes(tmp_path):
    path = tmp_path / shard_name(0, 1)
    bad = [Rejected("x", "empty")]
    write_shard(path, rows(), bad, "print")
    schema = parquet.read_schema(path)
    assert schema.names == ["id", "split", "label", "module_1", "module_2"]
    assert schema.field("label").type == pa.int64()
    assert schema.field("module_2").type == pa.list_(pa.float32(), 5)
    assert parquet.read_table(path)["label"].to_pylist() == [None, 7, 0]
    assert embeddings.read_shard(path) == ("print", 3, tuple(bad))
    (found,) = embeddings.read_rows(tmp_path)
    assert (found.ids, found.labels) == (rows().ids, [-1, 7, 0])
    np.testing.assert_array_equal(
        found.features["module_2"], rows().features["module_2"]
    )
    before = path.read_bytes()
    write_shard(path, rows(), bad, "print")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_empty_shards_and_those_that_are_not_whole(tmp_path):
    path = tmp_path / shard_name(0, 1)
    write_shard(path, rows(0), [], "print")
    (found,) = embeddings.read_rows(tmp_path, ["module_2"])
    assert found.features["module_2"].shape == (0, 5)
    assert embeddings.read_shard(tmp_path / "none") is None
    path.write_bytes(path.read_bytes()[:-9])
    assert embeddings.read_shard(path) is None
    with pytest.raises(DataError, match="is damaged"):
        list(embeddings.read_rows(tmp_path))
    path.rename(tmp_path / shard_name(0, 2))
    with pytest.raises(DataError, match="has 1 of 2 shards"):
        list(embeddings.read_rows(tmp_path))
    with pytest.raises(DataError, match="holds no embeddings"):
        embeddings.read_facts(tmp_path)


def touched(path):
    """What an unpickled type does in the next test."""
    Path(path).touch()
    return pa.null()


class Pickled(pa.PyExtensionType):
    def __init__(self, path):
        self.path = path
        super().__init__(pa.int64())

    def __reduce__(self):
        return touched, (self.path,)


def test_security_a_type_that_a_file_names_is_not_unpickled(tmp_path):
    path, trace = tmp_path / shard_name(0, 1), tmp_path / "trace"
    kind = Pickled(str(trace))
    column = pa.ExtensionArray.from_storage(kind, pa.array([1, 2]))
    parquet.write_table(pa.table({"id": ["a", "b"], "module_1": column}), path)
    (schema,) = re.findall(rb"[\w+/]{100,}=*", path.read_bytes())
    assert b"touched" in base64.b64decode(schema[-(len(schema) // 4 * 4) :])
    with pytest.raises(DataError, match="is damaged"):
        list(embeddings.read_rows(tmp_path))
    assert not trace.exists()


def test_a_module_that_is_not_there_is_named(tmp_path):
    write_shard(tmp_path / shard_name(0, 1), rows(), [], "print")
    with pytest.raises(DataError, match="it has module_1, module_2"):
        list(embeddings.read_rows(tmp_path, ["module_9"]))


def test_facts_survive_the_file(tmp_path):
    facts = Facts(
        fingerprint="f",
        model="m",
        model_fingerprint="g",
        takes="x",
        source=("a", "b"),
        root="r",
        class_names=("cat",),
    )
    embeddings.write_facts(tmp_path, facts)
    assert embeddings.read_facts(tmp_path) == facts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from gim_tf import config, experiments
    from tests.conftest import TINY
    from tests.saved_models import write_untrained

    directory = tmp_path_factory.mktemp("export") / "model"
    tiny = config.resolve(experiments.get("fashion_mnist_gim"), TINY)
    write_untrained(tiny, directory)
    return directory


def write_folder(folder, count=7):
    for index in range(count):
        put(folder / f"{index}.png", encode(noise(28, 28, seed=index)))
    put(folder / "3.png", b"no picture")


@pytest.mark.integration
def test_bad_items_are_listed_and_nothing_is_done_twice(tmp_path, model):
    from gim_tf import jobs
    from gim_tf.export.embedder import Embedder

    folder, output = tmp_path / "in", tmp_path / "out.parquet"
    write_folder(folder)
    embedder = Embedder(model)

    def run(max_bad, left):
        job = bulk_embedding.plan([folder], model, output, shard_size=3)
        tasks = job.begin()
        assert [task.piece.size for task in tasks] == left
        for task in tasks:
            bulk_embedding.embed_piece(embedder, task)
        assert job.done() == (7 if left else job.done())
        return job.finish(max_bad)

    with pytest.raises(DataError, match=r"1 item\(s\) .* 3\.png: not one of"):
        run(0, [3, 3, 1])
    assert not output.exists()
    assert (
        '"id": "3.png"' in (tmp_path / "out.parquet.rejected.jsonl").read_text()
    )
    facts = run(1, [])
    assert (facts.count, facts.num_rejected) == (6, 1)
    found = list(embeddings.read_rows(output))
    ids = [one for part in found for one in part.ids]
    assert ids == [f"{index}.png" for index in (0, 1, 2, 4, 5, 6)]
    run(1, [])  # the output itself is what is whole now
    put(folder / "3.png", encode(noise(28, 28, seed=3)))
    assert run(0, [3, 3, 1]).count == 7
    assert not (tmp_path / "out.parquet.rejected.jsonl").exists()
    files = [folder / f"{index}.png" for index in range(7)]
    jobs.embed(files, model, tmp_path / "out.npz")
    features = [part.features for part in embeddings.read_rows(output)]
    with np.load(tmp_path / "out.npz") as arrays:
        for name in ("module_1", "module_2", "module_3"):
            together = np.concatenate([part[name] for part in features])
            np.testing.assert_allclose(together, arrays[name], atol=1e-6)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "in",
        "out.npz",
        "out.parquet",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "out.npy"], "--output must end in .npz or .parquet"),
        (["--output", "out.npz", "--max-bad", "3"], "--max-bad goes with"),
        (["--output", "out.npz", "--beam-args=-x"], "--beam-args goes with"),
        (["--output", "out.npz", "--split", "test"], "--split goes with"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options, message, capsys):
    from gim_tf import cli

    assert cli.main(["embed", "a.png", "--model", "m", *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


@pytest.mark.integration
def test_what_is_no_file_is_refused_and_an_output_stays_whole(tmp_path, model):
    from gim_tf import jobs

    good, output = tmp_path / "a.png", tmp_path / "out.npz"
    put(good, encode(noise(28, 28)))
    jobs.embed([good], model, output)
    before = output.read_bytes()
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer
    for bad in (tmp_path / "pipe", tmp_path):
        with pytest.raises(DataError, match="no regular file"):
            jobs.embed([good, bad], model, output)
    assert output.read_bytes() == before
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="Cannot write"):
        jobs.embed([good], model, tmp_path / "folder.npz")
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.integration
def test_a_second_writer_of_one_output_ends_with_one_line(
    tmp_path, model, capsys
):
    from gim_tf import cli

    put(tmp_path / "a.png", encode(noise(28, 28)))
    output = tmp_path / "new" / "out.npz"
    arguments = ["embed", f"{tmp_path}/a.png", "--model", str(model)]
    arguments += ["--output", str(output)]
    with bulk_embedding.only_writer(output):
        assert cli.main(arguments) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"{output} is in use by process {os.getpid()}; " in line
        other = [*arguments[:-1], str(tmp_path / "new" / "other.npz")]
        assert cli.main(other) == 0
    assert cli.main(arguments) == 0
    names = sorted(path.name for path in output.parent.iterdir())
    assert names == ["other.npz", "out.npz"]


def test_a_lock_that_its_holder_removed_is_made_again(tmp_path):
    """Else two could hold one lock: the old file, and a new one."""
    path = tmp_path / "lock"
    gone = []

    def open_late(file, operation):
        if not gone:
            gone.append(path.unlink())
        flock(file, operation)

    flock = fcntl.flock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", open_late)
        with held(path, tmp_path, DataError):
            assert gone
            with (
                pytest.raises(DataError, match="in use by process"),
                held(path, tmp_path, DataError),
            ):
                pass


@pytest.mark.integration
def test_another_model_is_another_job(tmp_path, model):
    from gim_tf.export.manifest import read_manifest, write_manifest

    other = tmp_path / "model"
    shutil.copytree(model, other)
    (other / "assets" / "note").write_text("")
    facts = read_manifest(other)
    write_manifest(other, {k: facts[k] for k in ("experiment", "step")})
    write_folder(tmp_path / "in")
    jobs = [
        bulk_embedding.plan([tmp_path / "in"], one, tmp_path / "out.parquet")
        for one in (model, other)
    ]
    assert jobs[0].facts.fingerprint != jobs[1].facts.fingerprint
    with pytest.raises(DataError, match="at least 1 item"):
        bulk_embedding.plan([tmp_path / "in"], model, "out", shard_size=0)
    assert items.open_items(tmp_path / "in", suffixes=SUFFIXES)


@pytest.mark.integration
def test_recordings_of_any_format_are_embedded_and_shown(tmp_path):
    from gim_tf import config, experiments, jobs
    from gim_tf.data import pcm
    from gim_tf.export.embedder import Embedder
    from tests.conftest import TINY_SEQUENCE
    from tests.saved_models import write_untrained

    tiny = config.resolve(experiments.get("librispeech_gim"), TINY_SEQUENCE)
    model, output = tmp_path / "model", tmp_path / "out.parquet"
    write_untrained(tiny, model)
    generator = np.random.default_rng(0)
    for index, length in enumerate((3000, 5000, 4000)):
        samples = generator.normal(size=length) * 3000
        put(
            tmp_path / "in" / f"speaker/{index}.flac",
            pcm.encode(samples.astype(np.int16), 16_000),
        )
    put(tmp_path / "in" / "speaker/short.wav", b"RIFF")
    job = bulk_embedding.plan([tmp_path / "in"], model, output)
    embedder = Embedder(model)
    for task in job.begin():
        bulk_embedding.embed_piece(embedder, task)
    assert job.finish(max_bad=1).count == 3
    (found,) = embeddings.read_rows(output)
    files = [tmp_path / "in" / one for one in found.ids]
    jobs.embed(files, model, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        for name, values in found.features.items():
            np.testing.assert_array_equal(values, arrays[name])
    page = tmp_path / "page.html"
    jobs.neighbors(output, "speaker/1.flac", page=page)
    assert page.read_text().count("data:audio/flac;base64,") == 3
    assert page.read_text().count("data:image/png;base64,") == 3
