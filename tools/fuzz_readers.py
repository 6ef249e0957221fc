"""The readers that are fuzzed: valid files, damage, and what may come of it.

A reader takes the bytes of one file and a folder to put it in. It returns
"read" where the file was taken and "rejected" where an example of it was
refused by name; a `GimError` means that the file was refused. Anything else is
a defect. What was taken is decoded as training would decode it.
"""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf import config, experiments, interop
from gim_tf.data import alignments, embeddings, pcm, records, windows
from gim_tf.data.records import Rejected
from gim_tf.data.sources import containers, open_source
from gim_tf.data.sources.verify import UnreadableError, verified
from gim_tf.data.sources.verify_recording import Wanted, verified_recording
from gim_tf.errors import ConfigError
from gim_tf.export import manifest
from gim_tf.training.run_directory import RunDirectory
from tools import fuzz_files as files

LEAST = 800
CLASSES = ("a", "b")
VIEW = experiments.get("librispeech_gim").view


class Target(NamedTuple):
    """A reader, valid files for it, and how to get below a checksum.

    Attributes:
      seeds: valid files; each of them is read.
      read: of bytes and an empty folder; returns "read" or "rejected".
      inner: (unpack, pack) of a file whose checksum would shield what is in
        it; both take and return bytes.
    """

    seeds: list[bytes]
    read: Callable[[bytes, Path], str]
    inner: tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]] | None = (
        None
    )


def targets() -> dict[str, Callable[[], Target]]:
    """What makes each target, by name."""
    return {
        "image": lambda: Target(files.images(), _read_image),
        "png below its checksums": lambda: Target(
            [
                files.encode_image(files.noise(9, 9, 3)),
                files.encode_image(files.noise(8, 8)),
            ],
            _read_image,
            (lambda one: one, files.with_checksums),
        ),
        "audio": lambda: Target(files.sounds(), _read_sound),
        "phones": lambda: Target(
            [b"1-2-0003 0 5 40\r\n1-2-0004 7 7\n", files.real_phones()],
            _read_phones,
        ),
        "idx": lambda: Target([files.idx(files.noise(5, 6, 7))], _read_idx),
        "idx.gz": lambda: Target(
            [gzip.compress(files.idx(files.noise(5, 6, 7)))],
            lambda one, folder: _read_idx(one, folder, ".gz"),
            (gzip.decompress, gzip.compress),
        ),
        "stl10 .bin": lambda: Target(
            [files.noise(2, 3, 96, 96).tobytes()], _read_stl10
        ),
        "tar": lambda: Target([files.tar()], _read_archive),
        "tar.gz": lambda: Target(
            [gzip.compress(files.tar())],
            lambda one, folder: _read_archive(one, folder, "x.tar.gz"),
            (gzip.decompress, gzip.compress),
        ),
        "tfrecord": lambda: Target(
            [files.tfrecord([files.example()])], _read_tfrecord
        ),
        "tf.Example": lambda: Target(
            [files.example()],
            lambda one, folder: _read_tfrecord(files.tfrecord([one]), folder),
        ),
        "records": lambda: Target([files.written_records()], _read_records),
        "weights .npz": lambda: Target(
            [files.npz()], _read_npz, (files.first_member, files.as_npz)
        ),
        "weights .safetensors": lambda: Target(
            [files.safetensors()], _read_safetensors
        ),
        "embeddings": lambda: Target([files.shard()], _read_shard),
        "settings": lambda: Target(
            [
                b"training.learning_rate=0.5",
                b"stack.encoder.planes=[4, 6, 8]",
                b"stack.objective.kind=deep_infomax",
            ],
            _read_setting,
        ),
        "experiment.json": lambda: Target(
            [
                config.to_json(experiments.get(name)).encode()
                for name in ("fashion_mnist_gim", "librispeech_gim")
            ],
            _read_experiment,
        ),
        "manifest.json": lambda: Target([files.manifest()], _read_manifest),
        "run directory": lambda: Target(
            [b'{"step": 2, "seconds": 1.5}\n{"step": 4, "seconds": 3.0}\n'],
            _read_history,
        ),
    }


def _read_all(source: str, path: Path, **settings: object) -> str:
    data = config.DataConfig(source=source, path=str(path), **settings)  # type: ignore[arg-type]
    reader = open_source(data)
    outcome = "read"
    for split in (data.train_split, data.test_split):
        for item in reader.work(split):
            for found in reader.read(item):
                if isinstance(found, Rejected):
                    outcome = "rejected"
                else:
                    records.to_example(found)
    return outcome


def _read_image(content: bytes, folder: Path) -> str:
    try:
        stored = verified(content)
    except UnreadableError:
        return "rejected"
    for channels in (1, 3):
        image = tf.io.decode_image(
            stored, channels=channels, expand_animations=False
        )
        if image.shape.rank != 3 or not image.shape.num_elements():
            raise AssertionError(f"decoded to {image.shape}")
    return "read"


def _read_sound(content: bytes, folder: Path) -> str:
    wanted = Wanted(files.RATE, LEAST, resample=True, downmix=True)
    try:
        stored = verified_recording(content, wanted)
    except UnreadableError:
        return "rejected"
    expected = pcm.decode(stored) / 32768
    np.testing.assert_array_equal(
        windows.decode(tf.constant(stored), VIEW), expected
    )
    pcm.num_samples(io.BytesIO(content), files.RATE)
    return "read"


def _read_phones(content: bytes, folder: Path) -> str:
    text = containers.as_text(content, Path("phones.txt"))
    for labels in alignments.parse_labels(text.splitlines(), "x").values():
        alignments.align(400 + 160 * (len(labels) - 1), labels)
    return "read"


def _read_idx(content: bytes, folder: Path, suffix: str = "") -> str:
    pack = gzip.compress if suffix else bytes
    for prefix in ("train", "t10k"):
        labels = pack(files.idx(np.arange(5, dtype=np.uint8) % 2))
        (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(content)
        (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(labels)
    return _read_all("idx", folder, class_names=CLASSES)


def _read_stl10(content: bytes, folder: Path) -> str:
    for prefix in ("train", "test"):
        (folder / f"{prefix}_X.bin").write_bytes(content)
        (folder / f"{prefix}_y.bin").write_bytes(b"\1\2")
    return _read_all("stl10", folder, class_names=CLASSES)


def _read_archive(content: bytes, folder: Path, name: str = "x.tar") -> str:
    (folder / name).write_bytes(content)
    before = sorted(folder.rglob("*"))
    found = _read_all(
        "librispeech",
        folder / name,
        holdout=0.5,
        sample_rate=files.RATE,
        min_samples=LEAST,
    )
    if sorted(folder.rglob("*")) != before:
        raise AssertionError("an archive has written files")
    return found


def _read_tfrecord(content: bytes, folder: Path) -> str:
    (folder / "a.tfrecord").write_bytes(content)
    path = folder / "a.tfrecord"
    return _read_all("tfrecord", path, class_names=CLASSES, holdout=0.5)


def _read_records(content: bytes, folder: Path) -> str:
    file = folder / "data_tfrecord-00000-of-00001.gz"
    file.write_bytes(content)
    count = records.count_records([str(file)])
    records.records_at([str(file)], range(count))
    return "read"


def _read_npz(content: bytes, folder: Path) -> str:
    (folder / "x.npz").write_bytes(content)
    interop.read_weights([folder / "x.npz"])
    return "read"


def _read_safetensors(content: bytes, folder: Path) -> str:
    (folder / "x.safetensors").write_bytes(content)
    interop.read_weights([folder / "x.safetensors"])
    return "read"


def _read_shard(content: bytes, folder: Path) -> str:
    path = folder / embeddings.shard_name(0, 1)
    path.write_bytes(content)
    embeddings.read_shard(path)
    list(embeddings.read_rows(folder))
    return "read"


def _read_setting(content: bytes, folder: Path) -> str:
    word = content.decode("utf-8", "replace")
    made = config.resolve(experiments.get("fashion_mnist_gim"), [word])
    if config.from_dict(config.to_dict(made)) != made:
        raise AssertionError("a setting does not survive JSON")
    return "read"


def _read_experiment(content: bytes, folder: Path) -> str:
    try:
        values = json.loads(content)
    except ValueError as error:  # who reads the file says which it is
        raise ConfigError(str(error)) from error
    config.validate(config.from_dict(values))
    return "read"


def _read_manifest(content: bytes, folder: Path) -> str:
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / manifest.NAME).write_bytes(content)
    manifest.verify_manifest(folder)
    return "read"


def _read_history(content: bytes, folder: Path) -> str:
    (folder / "history.jsonl").write_bytes(content)
    run = RunDirectory(folder)
    kept = run.rewind_history(3)
    if run.history() != kept:
        raise AssertionError("a history that was written is not read")
    first = content.partition(b"\n")[0]
    (folder / "config.json").write_bytes(first)
    (folder / "imported.json").write_bytes(first)
    run.imported()
    run.bind({"step": 2, "seconds": 1.5})
    return "read"
