"""One batch for a bench: made, or the first one of real data."""

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from gim_tf import build, config
from gim_tf.config import Experiment
from gim_tf.data.alignments import NUM_PHONES
from gim_tf.data.corpus import read_corpus
from gim_tf.data.input_pipeline import Batch, training_batches
from gim_tf.data.records import count_records, record_files, write_records
from gim_tf.data.sources import open_source

# Where only ingest knows the classes: speakers of train-clean-100.
_CLASSES = 251


def first_batch(experiment: Experiment) -> tuple[Experiment, Batch]:
    """A batch, and the experiment with what its data can tell.

    Args:
      experiment: its `data.path` is a directory of records, or what its
        source reads; None: normal noise in the shape of the views, any
        labels.
    """
    path = experiment.data.path
    if path is None:
        experiment = _with_classes(experiment)
        return experiment, _made(experiment)
    if (Path(path) / "ingest.json").is_file():
        return _of_records(experiment, path)
    with tempfile.TemporaryDirectory() as directory:
        records = f"{directory}/records"
        write_records(open_source(experiment.data), records)
        return _of_records(experiment, records)


def _made(experiment: Experiment) -> Batch:
    size = experiment.training.batch_size
    generator = np.random.default_rng(experiment.training.seed)
    shape = (size, *build.view_shape(experiment))
    views = generator.standard_normal(shape, np.float32)
    data = experiment.data
    of_frames = experiment.stack.learns_frames
    names = data.frame_names if of_frames else data.class_names
    shape = (size, *build.label_shape(experiment))
    return Batch(
        build.build_to_grid(experiment)(tf.constant(views)),
        tf.constant(generator.integers(0, max(len(names), 1), shape)),
    )


def _with_classes(experiment: Experiment) -> Experiment:
    data = experiment.data
    if not experiment.stack.objective.needs_labels:
        return experiment
    data = dataclasses.replace(
        data,
        class_names=data.class_names or _numbered("class", _CLASSES),
        frame_names=data.frame_names or _numbered("frame", NUM_PHONES),
    )
    return dataclasses.replace(experiment, data=data)


def _numbered(kind: str, count: int) -> tuple[str, ...]:
    return tuple(f"{kind}_{index}" for index in range(count))


def _of_records(
    experiment: Experiment, directory: str
) -> tuple[Experiment, Batch]:
    experiment = config.completed(experiment, read_corpus(directory))
    files = record_files(directory, experiment.data.pretrain_split)
    data = build.build_training_data(experiment, files, count_records(files))
    return experiment, next(training_batches(data, 0))
