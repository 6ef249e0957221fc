"""Writes what TensorBoard shows beside the trainer's scalars.

Tags are stable, in the run that the log directory itself is unless a
subdirectory is named:

    configuration                    text: every setting of the experiment
    pictures/NAME                    a picture, such as pictures/views or
                                     pictures/spectrograms
    audio/NAME                       a recording, such as audio/window_1
    probe/module_1/linear_top1       accuracy, at the step of the encoder; also
                                     every other result of the probes
    confusion/last_module            a picture
    by_depth/linear_top1             accuracy against the module's number; one
                                     run a curve, so that one chart has all:
                                     by_depth_trained, by_depth_untrained and
                                     flat ones of the controls, such as
                                     by_depth_raw and by_depth_chance
    (HParams)                        one trial a log directory, on the metrics
                                     probe/module_1/linear_top1 and so on; its
                                     name changes with every setting
    (Projector)                      see `gim_tf.inspection.projector`

Of the tasks `phone` and `speaker` the tags have the task's name behind the
first word: probe/phone/module_1/linear_top1, confusion/speaker/last_module.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from gim_tf.inspection import plots
from gim_tf.inspection.curves import module_names, module_number, module_title
from gim_tf.inspection.facts import settings
from gim_tf.inspection.tasks import SCORE

CONFIGURATION_TAG = "configuration"
AUDIO_TAG = "audio/{name}"
CONFUSION_TAG = "confusion/{task}last_module"
PICTURES_TAG = "pictures/{name}"
PROBE_TAG = "probe/{task}{module}/{result}"
BY_DEPTH_TAG = "by_depth/{task}{result}"

_UNTRAINED = "untrained_"
_HPARAM_SECTIONS = ("stack", "training", "view")
_HPARAM_METRICS = (
    "linear_top1",
    "linear_grid_top1",
    "knn_top1",
    "held_out_voice_top1",
    "linear_stats_top1",
)
_FLAT_CURVES = {
    "raw_top1": "raw",
    f"mfcc_{SCORE}": "mfcc",
    f"log_mel_{SCORE}": "log_mel",
    "chance": "chance",
}


def write_configuration(log_dir: str, experiment: Mapping[str, Any]) -> None:
    """Writes every setting as a Markdown table.

    Args:
      log_dir: TensorBoard's log directory of the run.
      experiment: `config.to_dict` of the resolved experiment.
    """
    lines = ["| setting | value |", "|---|---|"]
    for name, value in settings(experiment):
        escaped = value.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| `{name}` | {escaped} |")
    with tf.summary.create_file_writer(log_dir).as_default():
        tf.summary.text(CONFIGURATION_TAG, "\n".join(lines), step=0)


def write_pictures(
    log_dir: str, pictures: Mapping[str, bytes], *, step: int = 0
) -> None:
    """Writes PNG bytes, by name, such as the views and patches of a report."""
    with tf.summary.create_file_writer(log_dir).as_default():
        for name, png in pictures.items():
            _write_png(PICTURES_TAG.format(name=name), png, step)


def write_audio(
    log_dir: str,
    recordings: Mapping[str, np.ndarray],
    sample_rate: int,
    *,
    step: int = 0,
) -> None:
    """Writes recordings to listen to, as WAV files of 16 bits.

    Args:
      log_dir: TensorBoard's log directory of the run.
      recordings: by name, [n] float32 in [-1, 1]; what is beyond is clipped.
      sample_rate: in Hz, of all of them.
      step: training step that they belong to.
    """
    with tf.summary.create_file_writer(log_dir).as_default():
        for name, samples in recordings.items():
            tag = AUDIO_TAG.format(name=name)
            clipped = np.clip(samples, -1.0, 1.0)[np.newaxis, :, np.newaxis]
            tf.summary.audio(tag, clipped, sample_rate, step=step)


def write_probes(
    log_dir: str,
    tasks: Mapping[str, Mapping[str, Any]],
    *,
    experiment: Mapping[str, Any],
    step: int = 0,
) -> None:
    """Writes everything that the probes found, and the HParams trial.

    Args:
      log_dir: TensorBoard's log directory of the run.
      tasks: of probes.json, by name: "modules", "controls" and, where they
        were measured, "confusion" and "class_names".
      experiment: `config.to_dict` of the resolved experiment.
      step: training step of the encoder that was probed.
    """
    _write_hparams_config(log_dir, experiment, tasks)
    with tf.summary.create_file_writer(log_dir).as_default():
        for task, results in tasks.items():
            for module, result, value in _scalars(results["modules"]):
                tag = PROBE_TAG.format(
                    task=_folder(task), module=module, result=result
                )
                tf.summary.scalar(tag, value, step=step)
            if results.get("confusion"):
                png = plots.confusion_matrix(
                    results["confusion"], results["class_names"]
                )
                tag = CONFUSION_TAG.format(task=_folder(task))
                _write_png(tag, png, step)
        hparams.hparams(_hparams(experiment), trial_id=_trial(experiment))
    for task, results in tasks.items():
        _write_by_depth(
            log_dir, task, results["modules"], results.get("controls") or {}
        )


def _folder(task: str) -> str:
    """The task's place in a tag: `class` has none."""
    return "" if task == "class" else f"{task}/"


def _write_png(tag: str, png: bytes, step: int) -> None:
    picture = tf.io.decode_png(png, channels=3)
    tf.summary.image(tag, picture[tf.newaxis], step=step)


def _scalars(
    probes: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[str, str, float]]:
    """(module, result, value) of everything that was measured."""
    for module in module_names(probes):
        for result, value in probes[module].items():
            if isinstance(value, int | float):
                yield module, result, float(value)


def _write_by_depth(
    log_dir: str,
    task: str,
    probes: Mapping[str, Mapping[str, Any]],
    controls: Mapping[str, Any],
) -> None:
    curves: dict[str, list[tuple[str, int, float]]] = {}
    for module, result, value in _scalars(probes):
        is_untrained = result.startswith(_UNTRAINED)
        run = "untrained" if is_untrained else "trained"
        point = (result.removeprefix(_UNTRAINED), module_number(module), value)
        curves.setdefault(run, []).append(point)
    depths = [module_number(module) for module in module_names(probes)]
    shown = sorted({name for points in curves.values() for name, *_ in points})
    for control, run in _FLAT_CURVES.items():
        # Beside each result the control's own, such as on unheard voices.
        known = {n: controls.get(control.replace(SCORE, n)) for n in shown}
        points = [
            (result, depth, float(value))
            for result, value in known.items()
            if value is not None
            for depth in depths
        ]
        if points:
            curves[run] = points
    for run, points in curves.items():
        directory = os.path.join(log_dir, f"by_depth_{run}")
        _write_curve(directory, _folder(task), points)


def _write_curve(
    directory: str, task: str, points: Sequence[tuple[str, int, float]]
) -> None:
    with tf.summary.create_file_writer(directory).as_default():
        for result, depth, value in points:
            tag = BY_DEPTH_TAG.format(task=task, result=result)
            tf.summary.scalar(tag, value, step=depth)


def _hparams(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that decide a result, in the types that HParams knows."""
    flat: dict[str, Any] = {}
    for section in _HPARAM_SECTIONS:
        flat.update(_flatten(experiment.get(section) or {}, f"{section}."))
    return flat


def _flatten(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{name}."))
        elif isinstance(value, bool | int | float | str):
            flat[f"{prefix}{name}"] = value
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _trial(experiment: Mapping[str, Any]) -> str:
    """Another one for other settings: HParams takes equal ones for repeats."""
    seed = (experiment.get("training") or {}).get("seed", 0)
    text = json.dumps(_hparams(experiment), sort_keys=True)
    settings = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{experiment.get('name', 'run')}, seed {seed}, {settings}"


def _write_hparams_config(
    log_dir: str,
    experiment: Mapping[str, Any],
    tasks: Mapping[str, Mapping[str, Any]],
) -> None:
    metrics = [
        hparams.Metric(
            PROBE_TAG.format(task=_folder(task), module=module, result=result),
            display_name=f"{_folder(task)}{module_title(module)}, {result}",
        )
        for task, found in tasks.items()
        for module, result, _ in _scalars(found["modules"])
        if result in _HPARAM_METRICS
    ]
    names = [hparams.HParam(name) for name in _hparams(experiment)]
    with tf.summary.create_file_writer(log_dir).as_default():
        hparams.hparams_config(hparams=names, metrics=metrics)
