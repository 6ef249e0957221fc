"""Untrained encoders, exported: what the tests of serving load and send."""

import io

import numpy as np
import soundfile

from gim_tf import build, config, experiments, jobs
from gim_tf.export.heads import Head
from gim_tf.export.saved_model import (
    save_classifier,
    save_encoder,
    save_sequence_classifier,
)
from tests.conftest import TINY, TINY_SEQUENCE, png

CLASSES = ["cat", "dog", "emu"]
RATE = 16_000


def export_pictures(directory, seed=0):
    """A classifier of pictures in `directory`; another seed, other weights."""
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"), [*TINY, f"training.seed={seed}"]
    )
    return _export(
        experiment, jobs.exporting._of_examples, save_pictures, directory
    )


def export_recordings(directory, seed=0):
    """A classifier of recordings and of their frames in `directory`."""
    experiment = config.resolve(
        experiments.get("librispeech_gim"),
        [*TINY_SEQUENCE, f"training.seed={seed}"],
    )

    def exported(experiment, stack):
        return jobs.exporting._of_sequences(experiment, stack, RATE)

    return _export(experiment, exported, save_recordings, directory)


def _export(experiment, exported, save, directory):
    encoder, facts = exported(experiment, build.build_stack(experiment))
    core = directory.with_name(f"{directory.name}.core")
    facts = {**facts, "experiment": config.to_dict(experiment)}
    save_encoder(encoder, core, facts)
    save(core, directory)
    return directory


def save_pictures(core, directory):
    head = _head(8)
    save_classifier(
        core,
        directory,
        module="module_3",
        kernel=head.kernel,
        bias=head.bias,
        class_names=CLASSES,
        facts={},
    )


def save_recordings(core, directory):
    save_sequence_classifier(
        core,
        directory,
        module="module_6",
        example_head=_head(5),
        frame_head=_head(5),
        facts={},
    )


def picture(seed=0):
    generator = np.random.default_rng(seed)
    return png(generator.integers(0, 256, (28, 28, 1), np.uint8))


def recording(length=3200, seed=0):
    samples = np.random.default_rng(seed).normal(size=length) * 3000
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples.astype(np.int16), RATE, "PCM_16", format="WAV"
    )
    return buffer.getvalue()


def _head(width):
    kernel = np.random.default_rng(0).normal(size=(width, 3)).astype("f")
    return Head(kernel, np.zeros(3, "f"), CLASSES)
