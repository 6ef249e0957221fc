"""`run_fn` of the TFX Trainer: translates its arguments and calls gim_tf."""

import hashlib
import logging
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from gim_tf import config, jobs
from gim_tf.data.corpus import read_corpus
from pipelines import staging
from pipelines.job_environment import job_places

_LOG = logging.getLogger(__name__)

# What is kept of the run directory, beside the TensorBoard logs.
_KEPT = ("config.json", "history.jsonl", "pretrain.json", "pictures/*.png")


def run_fn(fn_args: Any) -> None:
    """Pretrains and exports; called by TFX.

    Checkpoints and TensorBoard logs go to places given in `custom_config`,
    since TFX deletes `model_run_dir` when a component fails; the logs are
    copied there at the end. Vertex AI's AIP_* variables come before
    `custom_config`, see `job_environment`.

    Args:
      fn_args: TFX's FnArgs. `custom_config` has `experiment` (a mapping),
        `run_dir`, `tensorboard_dir` and `resume`.
    """
    custom = fn_args.custom_config
    places = job_places(custom, os.environ)
    experiment = config.from_dict(custom["experiment"])
    records = sorted(
        file for p in fn_args.train_files for file in tf.io.gfile.glob(p)
    )
    examples = os.path.dirname(os.path.dirname(records[0]))
    experiment = config.completed(experiment, read_corpus(examples))
    _tell_if_anew(places.run_dir)
    jobs.pretrain(
        experiment,
        records,
        places.run_dir,
        tensorboard_dir=places.logs,
        resume=custom["resume"],
        data_fingerprint=_digest(records),
    )
    with staging.written(fn_args.serving_model_dir) as model_dir:
        jobs.export(experiment, places.run_dir, model_dir)
        if places.model_dir:
            staging.copy_folder(model_dir, places.model_dir)
    logs = f"{fn_args.model_run_dir}/tensorboard"
    _copy(places.run_dir, fn_args.model_run_dir, _KEPT)
    _copy(places.logs, logs, ("*", "*/*", "*/*/*"))


def _tell_if_anew(run_dir: str) -> None:
    """Says so if there are checkpoints, but only of another training."""
    if tf.io.gfile.glob(os.path.join(run_dir, "ckpt-*.index")):
        return
    others = os.path.join(os.path.dirname(run_dir), "*", "ckpt-*.index")
    found = tf.io.gfile.glob(others)
    if found:
        newest = max(found, key=lambda p: tf.io.gfile.stat(p).mtime_nsec)
        _LOG.info(
            "Starting anew: settings, data or code differ from %s.",
            os.path.dirname(newest),
        )


def _digest(records: Sequence[str]) -> str:
    """Hash of the records, which other ingest code may write differently."""
    digest = hashlib.sha256()
    for path in records:
        with tf.io.gfile.GFile(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:12]


def _copy(source: str, target: str, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for path in tf.io.gfile.glob(os.path.join(source, pattern)):
            if not tf.io.gfile.isdir(path):
                copy = os.path.join(target, os.path.relpath(path, source))
                tf.io.gfile.makedirs(os.path.dirname(copy))
                tf.io.gfile.copy(path, copy, overwrite=True)
