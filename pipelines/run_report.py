"""Assembles `summary.json` and `report.html` from a run's artifacts."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf

from gim_tf import config
from gim_tf.export.manifest import versions
from gim_tf.inspection.report import ReportData, render


class Parts(NamedTuple):
    """Folders of the artifacts that a report is made of."""

    data: str
    model_run: str
    probes: str
    blessing: str
    pushed: str


def write(
    experiment: config.Experiment,
    parts: Parts,
    directory: str,
    *,
    tensorboard_dir: str,
    execution: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Writes both files and returns the summary.

    Args:
      experiment: the resolved configuration.
      parts: where the artifacts are.
      directory: where the files go.
      tensorboard_dir: named in the report.
      execution: time, memory and artifacts of each component, as
        `gim_tf.inspection.report.ReportData` takes them; empty while the
        pipeline still runs.
    """
    page = os.path.join(directory, "report.html")
    probes = _json(parts.probes, "probes.json")
    verdict = _json(parts.blessing, "verdict.json")
    summary = {
        "experiment": experiment.name,
        "seed": experiment.training.seed,
        "versions": {**versions(), "apache-beam": beam.__version__},
        "data": _data(experiment.data, _json(parts.data, "data.json")),
        "pretrain": _json(parts.model_run, "pretrain.json"),
        "probes": probes["modules"],
        "controls": probes["controls"],
        "blessed": verdict["blessed"],
        "reasons": verdict["reasons"],
        "pushed_to": _json(parts.pushed, "pushed.json")["pushed_to"],
        "report": page,
        "tensorboard": tensorboard_dir,
        "components": [dict(entry) for entry in execution],
    }
    content = ReportData(
        experiment=config.to_dict(experiment),
        summary=summary,
        history=_history(parts.model_run),
        confusion=probes["confusion"],
        class_names=probes["class_names"],
        pictures=_pictures(parts.model_run),
        execution=execution,
        blessing=verdict,
        tensorboard_dir=tensorboard_dir,
    )
    tf.io.gfile.makedirs(directory)
    _replace(page, render(content))
    text = json.dumps(summary, indent=2) + "\n"
    _replace(os.path.join(directory, "summary.json"), text)
    return json.loads(text)


def _data(data: config.DataConfig, report: Mapping[str, Any]) -> dict[str, Any]:
    counts = report["counts"]
    return {
        "unlabelled": counts[data.pretrain_split],
        "train": counts[data.train_split],
        "test": counts[data.test_split],
        "fingerprint": report["fingerprint"],
        "rejected": report["num_rejected"],
    }


def _history(model_run: str) -> list[dict[str, Any]]:
    path = os.path.join(model_run, "history.jsonl")
    with tf.io.gfile.GFile(path) as file:
        return [json.loads(line) for line in file]


def _pictures(model_run: str) -> dict[str, bytes]:
    pictures = {}
    pattern = os.path.join(model_run, "pictures", "*.png")
    for path in sorted(tf.io.gfile.glob(pattern)):
        with tf.io.gfile.GFile(path, "rb") as file:
            name = os.path.basename(path).removesuffix(".png")
            pictures[name] = file.read()
    return pictures


def _json(directory: str, name: str) -> dict[str, Any]:
    with tf.io.gfile.GFile(os.path.join(directory, name)) as file:
        return json.loads(file.read())


def _replace(path: str, text: str) -> None:
    with tf.io.gfile.GFile(f"{path}.partial", "w") as file:
        file.write(text)
    tf.io.gfile.rename(f"{path}.partial", path, overwrite=True)
