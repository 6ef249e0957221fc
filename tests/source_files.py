"""Data files of every format, made for the tests of the readers."""

import gzip
import io
import pickle
import struct

import numpy as np
import tensorflow as tf
from PIL import Image

from gim_tf.config import DataConfig
from gim_tf.data.sources import open_source


def open_(source, path=None, classes=("cat", "dog"), **settings):
    data = DataConfig(
        source=source,
        path=None if path is None else str(path),
        class_names=classes,
        **settings,
    )
    return pickle.loads(pickle.dumps(open_source(data)))


def read(source, split):
    return [x for item in source.work(split) for x in source.read(item)]


def decode(encoded, channels):
    return tf.io.decode_image(
        encoded, channels=channels, expand_animations=False
    ).numpy()


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encode(image, kind="PNG", **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def idx(array):
    header = bytes((0, 0, 8, array.ndim))
    return (
        header + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
    )


def write_idx(folder, images, labels, prefix="train", suffix=""):
    pack = gzip.compress if suffix else bytes
    names = (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    for name, array in zip(names, (images, labels), strict=True):
        put(folder / f"{name}{suffix}", pack(idx(array)))
