"""`run_fn` of the TFX Trainer: translates its arguments and calls gim_tf."""

import os
from typing import Any

import tensorflow as tf

from gim_tf import config, jobs

# What is kept with the ModelRun artifact, beside the TensorBoard logs.
_KEPT = ("config.json", "history.jsonl", "pretrain.json")


def run_fn(fn_args: Any) -> None:
    """Pretrains and exports; called by TFX.

    Checkpoints and TensorBoard logs go to places given in `custom_config`,
    since TFX deletes `model_run_dir` when a component fails; the logs are
    copied there at the end.

    Args:
      fn_args: TFX's FnArgs. `custom_config` has `experiment` (a mapping),
        `run_dir`, `tensorboard_dir` and `resume`.
    """
    custom = fn_args.custom_config
    experiment = config.from_dict(custom["experiment"])
    records = sorted(
        file for p in fn_args.train_files for file in tf.io.gfile.glob(p)
    )
    jobs.pretrain(
        experiment,
        records,
        custom["run_dir"],
        tensorboard_dir=custom["tensorboard_dir"],
        resume=custom["resume"],
    )
    jobs.export(experiment, custom["run_dir"], fn_args.serving_model_dir)
    for name in _KEPT:
        _copy(custom["run_dir"], fn_args.model_run_dir, name)
    logs = os.path.join(fn_args.model_run_dir, "tensorboard")
    for folder, _, names in tf.io.gfile.walk(custom["tensorboard_dir"]):
        below = os.path.relpath(folder, custom["tensorboard_dir"])
        for name in names:
            _copy(folder, os.path.normpath(os.path.join(logs, below)), name)


def _copy(source: str, target: str, name: str) -> None:
    path = os.path.join(source, name)
    if tf.io.gfile.exists(path):
        tf.io.gfile.makedirs(target)
        tf.io.gfile.copy(path, os.path.join(target, name), overwrite=True)
