"""A tiny experiment on which everything runs in seconds."""

import numpy as np
import pytest
from hypothesis import settings

from gim_tf import config, experiments

# The same few examples each time; `make fuzz` takes many new ones, by
# --hypothesis-profile=many.
_ANY_TIME = {"deadline": None, "print_blob": True}
settings.register_profile(
    "few", max_examples=15, derandomize=True, database=None, **_ANY_TIME
)
settings.register_profile("many", max_examples=1000, **_ANY_TIME)
settings.load_profile("few")

TINY = (
    "stack.encoder.block=basic",
    "stack.encoder.planes=[4, 6, 8]",
    "stack.encoder.stem_channels=4",
    "stack.objective.prediction_steps=2",
    "training.batch_size=8",
    "training.num_steps=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
    "probe.epochs=2",
)


TINY_SEQUENCE = (
    "stack.encoder.channels=[6, 6, 6, 6, 6]",
    "stack.autoregressor.units=5",
    "stack.objective.prediction_steps=2",
    "stack.objective.num_negatives=3",
    "stack.objective.window=8",
    "view.length=1600",
    "training.batch_size=4",
)


@pytest.fixture
def injected(record_property):
    """Tells `make test-faults` how many faults a test injected, at what cost.

    Call it with their number and a collection of what was lost or let in. A
    test that does not call it counts as one fault, lost if it fails.
    """

    def tell(times, lost):
        record_property("times", times)
        record_property("lost", len(lost))
        assert not lost

    return tell


@pytest.fixture
def tiny_sequence():
    return config.resolve(experiments.get("librispeech_gim"), TINY_SEQUENCE)


@pytest.fixture
def sequence_grid():
    """A batch of grids that fit `tiny_sequence`."""
    return np.random.default_rng(0).normal(size=(3, 1600, 1, 1)).astype("f")


@pytest.fixture
def tiny():
    return config.resolve(experiments.get("fashion_mnist_gim"), TINY)


@pytest.fixture
def grid():
    """A batch of grids and labels that fit `tiny`."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, 7, 7, 8, 8, 1)).astype(np.float32)
    return x, np.array([0, 3, -1])


@pytest.fixture
def tiny_records(tmp_path):
    """Records of 40 training and 20 test images; returns their directory."""
    return write_noise_records(tmp_path / "records")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of 60 noise pictures in ten classes."""
    folder = tmp_path_factory.mktemp("noise") / "pictures"
    generator = np.random.default_rng(0)
    classes = experiments.get("fashion_mnist_gim").data.class_names
    for index in range(60):
        pixels = generator.integers(0, 256, (28, 28, 1), np.uint8)
        below = folder / classes[index % 10]
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{index}.png").write_bytes(png(pixels))
    return folder


def write_noise_records(directory):
    from gim_tf.data import records
    from gim_tf.data.shards import ShardWriter

    generator = np.random.default_rng(1)
    for split, count in (("train", 40), ("test", 20)):
        with ShardWriter(directory / f"Split-{split}") as writer:
            for index in range(count):
                pixels = generator.integers(0, 256, (28, 28, 1), np.uint8)
                writer.write(
                    records.to_example(
                        records.Record(
                            f"{split}/{index}", index % 10, split, png(pixels)
                        )
                    )
                )
    return directory


def png(pixels):
    import tensorflow as tf

    return tf.io.encode_png(pixels).numpy()
