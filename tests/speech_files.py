"""Recordings and trees of them, made for the tests of the readers."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests import source_files
from tests.source_files import put

RATE, LEAST = 16_000, 800
IDS = [f"{s}-{c}-{u:04d}" for s in (9, 10) for c in (5, 6) for u in range(4)]


def open_(source, path=None, classes=(), **settings):
    limits = {"sample_rate": RATE, "min_samples": LEAST, **settings}
    return source_files.open_(source, path, classes, **limits)


def samples(count=1600, seed=0, scale=2000):
    drawn = np.random.default_rng(seed).normal(scale=scale, size=count)
    return drawn.astype(np.int16)


def encode(values, kind="FLAC", rate=RATE, subtype="PCM_16"):
    buffer = io.BytesIO()
    soundfile.write(buffer, values, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def flac_name(name):
    speaker, chapter, _ = name.split("-")
    return f"{speaker}/{chapter}/{name}.flac"


def write_tree(root, ids):
    for seed, name in enumerate(ids):
        path = root / flac_name(name)
        put(path, encode(samples(seed=seed)))
        put(path.parent / f"{path.parent.name}.trans.txt", b"A")


def shared(name):
    """A file of real data, which is not part of the repository."""
    path = Path(__file__).parents[2] / "shared" / "data" / name
    if not path.is_file():
        pytest.skip(f"{name} is not beside the repository, in shared/data")
    return path
