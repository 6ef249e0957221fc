"""The readers that are fuzzed: valid files, damage, and what may come of it.

A reader takes the bytes of one file and a folder to put it in. It returns
"read" where the file was taken and "rejected" where an example of it was
refused by name; a `GimError` means that the file was refused. Anything else is
a defect. What was taken is decoded as training would decode it.
"""

import gzip
import hashlib
import io
import json
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import soundfile
import tensorflow as tf
from PIL import Image

from gim_tf import config, experiments, interop
from gim_tf.data import alignments, pcm, records, windows
from gim_tf.data.records import Record, Rejected
from gim_tf.data.sources import containers, open_source
from gim_tf.data.sources.verify import UnreadableError, verified
from gim_tf.data.sources.verify_recording import Wanted, verified_recording
from gim_tf.errors import ConfigError
from gim_tf.export import manifest
from gim_tf.training.run_directory import RunDirectory

RATE, LEAST = 16_000, 800
SPEECH = Path(records.__file__).parent / "made_speech"
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
        "image": lambda: Target(_images(), _read_image),
        "png below its checksums": lambda: Target(
            [encode_image(noise(9, 9, 3)), encode_image(noise(8, 8))],
            _read_image,
            (lambda one: one, _with_checksums),
        ),
        "audio": lambda: Target(_sounds(), _read_sound),
        "phones": lambda: Target(
            [b"1-2-0003 0 5 40\r\n1-2-0004 7 7\n", _real_phones()],
            _read_phones,
        ),
        "idx": lambda: Target([idx(noise(5, 6, 7))], _read_idx),
        "idx.gz": lambda: Target(
            [gzip.compress(idx(noise(5, 6, 7)))],
            lambda one, folder: _read_idx(one, folder, ".gz"),
            (gzip.decompress, gzip.compress),
        ),
        "stl10 .bin": lambda: Target(
            [noise(2, 3, 96, 96).tobytes()], _read_stl10
        ),
        "tar": lambda: Target([_tar()], _read_archive),
        "tar.gz": lambda: Target(
            [gzip.compress(_tar())],
            lambda one, folder: _read_archive(one, folder, "x.tar.gz"),
            (gzip.decompress, gzip.compress),
        ),
        "tfrecord": lambda: Target([_tfrecord([_example()])], _read_tfrecord),
        "tf.Example": lambda: Target(
            [_example()],
            lambda one, folder: _read_tfrecord(_tfrecord([one]), folder),
        ),
        "records": lambda: Target([_written_records()], _read_records),
        "weights .npz": lambda: Target(
            [_npz()], _read_npz, (_first_member, _as_npz)
        ),
        "weights .safetensors": lambda: Target(
            [_safetensors()], _read_safetensors
        ),
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
        "manifest.json": lambda: Target([_manifest()], _read_manifest),
        "run directory": lambda: Target(
            [b'{"step": 2, "seconds": 1.5}\n{"step": 4, "seconds": 3.0}\n'],
            _read_history,
        ),
    }


def damaged(content: bytes, random: Random, others: list[bytes]) -> bytes:
    """One to four small damages, of the kinds that find most."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(data) + 1)
        if random.random() < 0.5:  # headers decide most
            at = min(at, random.randrange(64))
        length = random.choice((1, 2, 4, 8, random.randrange(1, 200)))
        place = slice(at, at + length)
        kind = random.randrange(8)
        if kind < 2 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif kind == 2:
            value = random.choice((0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x39))
            data[place] = bytes([value] * len(data[place]))
        elif kind == 3:
            del data[at:]
        else:
            data[place] = _instead(kind, bytes(data[place]), random, others)
    return bytes(data)


def _instead(
    kind: int, piece: bytes, random: Random, others: list[bytes]
) -> bytes:
    """What stands in the place of a piece: less, more, else, or a number."""
    if kind == 4:
        return b""
    if kind == 5:
        return piece + piece
    if kind == 6:
        other = random.choice(others)
        start = random.randrange(len(other) + 1)
        return other[start : start + len(piece)]
    number = random.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**16))
    order = random.choice("<>")
    return struct.pack(f"{order}i", number)


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
    wanted = Wanted(RATE, LEAST, resample=True, downmix=True)
    try:
        stored = verified_recording(content, wanted)
    except UnreadableError:
        return "rejected"
    expected = pcm.decode(stored) / 32768
    np.testing.assert_array_equal(
        windows.decode(tf.constant(stored), VIEW), expected
    )
    pcm.num_samples(io.BytesIO(content), RATE)
    return "read"


def _read_phones(content: bytes, folder: Path) -> str:
    text = containers.as_text(content, Path("phones.txt"))
    for labels in alignments.parse_labels(text.splitlines(), "x").values():
        alignments.align(400 + 160 * (len(labels) - 1), labels)
    return "read"


def _read_idx(content: bytes, folder: Path, suffix: str = "") -> str:
    pack = gzip.compress if suffix else bytes
    for prefix in ("train", "t10k"):
        labels = pack(idx(np.arange(5, dtype=np.uint8) % 2))
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
        sample_rate=RATE,
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


def noise(*shape: int) -> np.ndarray:
    """Pixels."""
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encode_image(image: np.ndarray, kind: str = "PNG") -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    """An IDX file of uint8."""
    start = bytes((0, 0, 8, array.ndim))
    return start + struct.pack(f">{array.ndim}i", *array.shape) + bytes(array)


def samples(count: int, seed: int = 0) -> np.ndarray:
    """Noise of 16 bits."""
    drawn = np.random.default_rng(seed).normal(scale=2000, size=count)
    return drawn.astype(np.int16)


def encode(
    values: np.ndarray,
    kind: str = "FLAC",
    rate: int = RATE,
    subtype: str = "PCM_16",
) -> bytes:
    """A recording's file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, values, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def _images() -> list[bytes]:
    colour, grey = noise(9, 11, 3), noise(9, 11)
    kinds = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
    return [encode_image(one, k) for k in kinds for one in (colour, grey)]


def _with_checksums(content: bytes) -> bytes:
    """A PNG with the right checksum behind every chunk."""
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + size
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def _sounds() -> list[bytes]:
    mono = samples(1700)
    made = [encode(mono, kind) for kind in ("FLAC", "WAV")]
    made.append(encode(mono, "OGG", subtype="VORBIS"))
    made.append(encode(np.stack([mono, mono[::-1]], 1), rate=8000))
    real = min(SPEECH.rglob("*.flac"), key=lambda path: path.stat().st_size)
    return [*made, real.read_bytes()]


def _real_phones() -> bytes:
    lines = (SPEECH / "converted_aligned_phones.txt").read_bytes()
    return b"".join(lines.splitlines(keepends=True)[:3])


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(4):
            speaker = number % 2 + 1
            name = f"{speaker}/1/{speaker}-1-000{number}.flac"
            content = encode(samples(900, seed=number))
            info = tarfile.TarInfo(f"LibriSpeech/dev/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _example() -> bytes:
    def feature(kind: str, value: object) -> tf.train.Feature:
        listed = {
            "bytes_list": tf.train.BytesList,
            "int64_list": tf.train.Int64List,
        }[kind]
        return tf.train.Feature(**{kind: listed(value=[value])})

    made = {
        "image": feature("bytes_list", encode_image(noise(4, 4))),
        "label": feature("int64_list", 1),
        "id": feature("bytes_list", b"left/1"),
    }
    return tf.train.Example(
        features=tf.train.Features(feature=made)
    ).SerializeToString()


def _tfrecord(examples: Iterable[bytes], compression: str = "") -> bytes:
    """A file with the right checksums around any bytes."""
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name, options) as writer:
            for one in examples:
                writer.write(one)
        return Path(file.name).read_bytes()


def _written_records() -> bytes:
    made = [Record(str(i), i, "train", bytes(9), (1, 2)) for i in range(3)]
    return _tfrecord((records.to_example(one) for one in made), "GZIP")


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"model.Conv1.weight": np.arange(6.0).reshape(2, 3)})
    return buffer.getvalue()


def _first_member(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(file.namelist()[0])


def _as_npz(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("model.Conv1.weight.npy", member)
    return buffer.getvalue()


def _safetensors() -> bytes:
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    ).encode()
    size = len(header).to_bytes(8, "little")
    return size + header + np.arange(4, dtype=np.float32).tobytes()


def _manifest() -> bytes:
    digest = hashlib.sha256(b"graph").hexdigest()
    return json.dumps({"files": {"saved_model.pb": digest}}).encode()
