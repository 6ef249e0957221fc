"""A data set and an experiment on which the whole pipeline takes a minute."""

import numpy as np
import pytest

from gim_tf import config, experiments
from tests.source_files import write_idx

SMALL = (
    "data.source=idx",
    'data.class_names=["dark", "light", "noise"]',
    "data.min_examples=30",
    "view.size=16",
    "view.pad_to=18",
    "view.crop_size=16",
    "stack.encoder.stem_channels=4",
    "stack.encoder.planes=[4, 6]",
    "stack.encoder.depths=[1, 1]",
    "stack.module_sizes=[2, 1]",
    "stack.objective.prediction_steps=1",
    "stack.objective.num_negatives=2",
    "training.batch_size=8",
    "training.num_steps=6",
    "training.log_every=2",
    "training.checkpoint_every=2",
    "probe.epochs=2",
    "blessing.margin=-1.0",
    "blessing.tolerance=1.0",
)

DATA = {
    "ImportSchemaGen",
    "RecordGen",
    "StatisticsGen",
    "ExampleValidator",
    "DataGate",
}
LEARNING = {"Trainer", "LinearProbe", "Evaluator"}
DECIDING = {"Bless", "Push", "Report"}


def write_source(folder, train=60, test=30):
    generator = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 3
        images = generator.integers(0, 256, (count, 16, 16), np.uint8)
        images[labels == 0] //= 4
        images[labels == 1] |= 192
        write_idx(folder, images, labels, prefix)


def run(experiment, directory, overrides=(), **options):
    from pipelines import local_runner

    changed = config.resolve(experiment, overrides)
    return local_runner.run(changed, directory, **options)


def ran(result):
    names = {c.component for c in result.components if c.state == "ran"}
    return names - {"Baseline"}


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    write_source(folder)
    return config.resolve(
        experiments.get("fashion_mnist_gim"), [*SMALL, f"data.path={folder}"]
    )
