"""Valid files of every format that is read, and damage to them."""

import hashlib
import io
import json
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from random import Random

import numpy as np
import soundfile
import tensorflow as tf
from PIL import Image

from gim_tf.data import embeddings, records
from gim_tf.data.records import Record

RATE = 16_000
SPEECH = Path(records.__file__).parent / "made_speech"


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


def images() -> list[bytes]:
    """Two pictures of each format."""
    colour, grey = noise(9, 11, 3), noise(9, 11)
    kinds = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
    return [encode_image(one, k) for k in kinds for one in (colour, grey)]


def with_checksums(content: bytes) -> bytes:
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


def sounds() -> list[bytes]:
    """Recordings of each format, a stereo one, and one of the embedded ones."""
    mono = samples(1700)
    made = [encode(mono, kind) for kind in ("FLAC", "WAV")]
    made.append(encode(mono, "OGG", subtype="VORBIS"))
    made.append(encode(np.stack([mono, mono[::-1]], 1), rate=8000))
    real = min(SPEECH.rglob("*.flac"), key=lambda path: path.stat().st_size)
    return [*made, real.read_bytes()]


def real_phones() -> bytes:
    """Three lines of the embedded labels."""
    lines = (SPEECH / "converted_aligned_phones.txt").read_bytes()
    return b"".join(lines.splitlines(keepends=True)[:3])


def tar() -> bytes:
    """An archive of four recordings of two speakers."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number in range(4):
            speaker = number % 2 + 1
            name = f"{speaker}/1/{speaker}-1-000{number}.flac"
            content = encode(samples(900, seed=number))
            info = tarfile.TarInfo(f"LibriSpeech/dev/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def example() -> bytes:
    """A tf.Example of a picture and a label."""

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


def tfrecord(examples: Iterable[bytes], compression: str = "") -> bytes:
    """A file with the right checksums around any bytes."""
    options = tf.io.TFRecordOptions(compression_type=compression)
    with tempfile.NamedTemporaryFile() as file:
        with tf.io.TFRecordWriter(file.name, options) as writer:
            for one in examples:
                writer.write(one)
        return Path(file.name).read_bytes()


def written_records() -> bytes:
    """A shard of three records as ingest writes them."""
    made = [Record(str(i), i, "train", bytes(9), (1, 2)) for i in range(3)]
    return tfrecord((records.to_example(one) for one in made), "GZIP")


def shard() -> bytes:
    """Three embedded items of two modules."""
    features = {
        f"module_{i}": np.arange(6, dtype=np.float32).reshape(3, 2)
        for i in (1, 2)
    }
    rows = embeddings.Rows("abc", [None, "train", "x"], [0, -1, 2], features)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.parquet")
        embeddings.write_shard(path, rows, [], "print")
        return path.read_bytes()


def npz() -> bytes:
    """One array under a name of the authors' models."""
    buffer = io.BytesIO()
    np.savez(buffer, **{"model.Conv1.weight": np.arange(6.0).reshape(2, 3)})
    return buffer.getvalue()


def first_member(content: bytes) -> bytes:
    """What the first file of a zip archive holds."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(file.namelist()[0])


def as_npz(member: bytes) -> bytes:
    """An array's file in an archive that has the right checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("model.Conv1.weight.npy", member)
    return buffer.getvalue()


def safetensors() -> bytes:
    """One array of four numbers."""
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    ).encode()
    size = len(header).to_bytes(8, "little")
    return size + header + np.arange(4, dtype=np.float32).tobytes()


def manifest() -> bytes:
    """The manifest of an export that is one file."""
    digest = hashlib.sha256(b"graph").hexdigest()
    return json.dumps({"files": {"saved_model.pb": digest}}).encode()
