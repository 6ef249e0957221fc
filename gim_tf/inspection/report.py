"""Writes a run as one self-contained HTML file.

The file needs no other file and no network: styles are inline and pictures
are data URIs. A section whose data are missing is left out.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from gim_tf.inspection import pages, plots
from gim_tf.inspection.curves import as_float, history_modules, last_value
from gim_tf.inspection.facts import facts, settings
from gim_tf.inspection.findings import findings, headline
from gim_tf.inspection.summary_table import (
    cell,
    has_heldout,
    module_rows,
    summarise_table,
)
from gim_tf.inspection.task_charts import probe_chart
from gim_tf.inspection.tasks import Task, tasks

__all__ = ["ReportData", "render", "summarise_table"]

_SERVING_IMAGE = "tensorflow/serving:2.16.1"
# What a request looks like, by the kind of view.
_REQUESTS = {
    "patches": {
        "input": "image_bytes",
        "file": "picture.png",
    },
    "window": {
        "input": "audio_bytes",
        "file": "recording.wav",
    },
}
# What the picture of neurons shows, likewise.
_NEURONS = {
    "patches": "A row is one neuron (a channel of the module's features): the "
    "test patches at which it answers most, at most one of a picture, the "
    "strongest first; beside each the picture it is cut from, with the true "
    "class, which no module was told in training. At the left the answers, "
    "and the mean over all patches. The neurons are those whose answers vary "
    "most, without those that repeat another.",
    "window": "A row is one neuron (a channel of the module's features): the "
    "moments of test recordings at which it answers most, at most one of a "
    "recording, the strongest first; the frame is what it reads itself. At "
    "the left the answers, and the mean over all moments. The neurons are "
    "those whose answers vary most, without those that repeat another.",
}


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that a report shows, as plain data; every field may stay empty.

    Attributes:
      experiment: the resolved configuration, `config.to_dict`.
      summary: the content of summary.json.
      history: log lines of history.jsonl, oldest first.
      tasks: by name, the "confusion" of the last module (counts, rows are true
        classes, columns predictions) and its "class_names", in label order.
      pictures: PNG bytes by name; some, such as "views" and "neurons", have
        places of their own, all others are shown under their name, in the
        order given.
      execution: one entry a pipeline component, in order: "component",
        "state", "seconds", "peak_mib", and "inputs" and "outputs", each a
        list of artifact ids or of {"id", "type"}.
      blessing: {"blessed": bool, "reasons": [str]}.
      overrides: the `--set` settings of the run, for its command.
      tensorboard_dir: log directory for the TensorBoard command.
    """

    experiment: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    execution: Sequence[Mapping[str, Any]] = ()
    blessing: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    tensorboard_dir: str | None = None


def render(data: ReportData) -> str:
    """The report as HTML text, to be saved as UTF-8."""
    return pages.render(
        "report.html",
        title=data.experiment.get("name")
        or data.summary.get("experiment", "gim"),
        about=data.experiment.get("summary", ""),
        headline=headline(data.summary, data.experiment),
        findings=findings(data.summary, data.history),
        blessing=data.blessing,
        pushed_to=data.summary.get("pushed_to"),
        rows=module_rows(data.summary),
        has_heldout=has_heldout(module_rows(data.summary)),
        tasks=[_task(task, data) for task in tasks(data.summary)],
        charts=_charts(data),
        evaluation=data.summary.get("evaluation") or {},
        pictures=data.pictures,
        neurons=_NEURONS.get(_kind(data.experiment), ""),
        facts=facts(data.experiment, data.summary),
        settings=settings(data.experiment),
        versions=data.summary.get("versions") or {},
        execution=[_component(entry) for entry in data.execution],
        serving=_serving(data.summary.get("pushed_to"), data.experiment),
        tensorboard=_tensorboard_command(data.tensorboard_dir),
        reproduce=_reproduce_command(data),
    )


def _charts(data: ReportData) -> dict[str, bytes]:
    """PNG bytes of each chart whose data are there."""
    rows = module_rows(data.summary)
    chance = {
        row.name: row.chance_loss
        for row in rows
        if math.isfinite(row.chance_loss)
    }
    charts = {}
    if _has(data.history, "loss"):
        charts["loss"] = plots.loss_curves(data.history, chance)
    if _has(data.history, "per_step"):
        guess = math.exp(-max(chance.values())) if chance else None
        charts["per_step"] = plots.accuracy_per_step(data.history, guess)
    if _has(data.history, "effective_rank"):
        charts["health"] = plots.feature_health(data.history)
    if data.execution:
        charts["execution"] = plots.time_and_memory(data.execution)
    return charts


def _has(history: Sequence[Mapping[str, Any]], quantity: str) -> bool:
    modules = history_modules(history)
    return any(last_value(history, m, quantity) is not None for m in modules)


def _task(task: Task, data: ReportData) -> dict[str, Any]:
    """What the page shows of one task."""
    rows = module_rows(data.summary, task)
    shown = task.measured(task.words.columns)
    details = data.tasks.get(task.name) or {}
    charts = {}
    if shown:
        charts["probes"] = probe_chart(task)
    if len(details.get("confusion") or ()):
        charts["confusion"] = plots.confusion_matrix(
            details["confusion"], details["class_names"]
        )
    return {
        "name": task.name,
        "title": task.words.title,
        "columns": [title for _, title in shown],
        "cells": {
            row.name: [cell(row, key) for key, _ in shown] for row in rows
        },
        "controls": task.known_controls(),
        "control_rows": task.control_rows(shown),
        "last": rows[-1],
        "charts": charts,
    }


def _component(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "component": entry.get("component", "?"),
        "state": entry.get("state", ""),
        "seconds": as_float(entry.get("seconds")),
        "peak_mib": as_float(entry.get("peak_mib")),
        "inputs": [_artifact(a) for a in entry.get("inputs") or ()],
        "outputs": [_artifact(a) for a in entry.get("outputs") or ()],
    }


def _artifact(artifact: Any) -> str:
    if not isinstance(artifact, Mapping):
        return f"#{artifact}"
    return f"#{artifact.get('id', '?')} {artifact.get('type', '')}".strip()


def _serving(pushed_to: Any, experiment: Mapping[str, Any]) -> dict[str, str]:
    """Commands that serve the pushed version; empty if none was pushed."""
    if not pushed_to:
        return {}
    versions = PurePath(str(pushed_to)).parent
    mount = shlex.quote(f"{versions}")
    if not versions.is_absolute():
        mount = f'"$PWD"/{mount}'
    kind = _kind(experiment)
    probed = (experiment.get("probe") or {}).get("tasks") or ["class"]
    has_class = bool({"class", "speaker"} & set(probed))
    return {
        "docker": (
            f"docker run --rm -p 127.0.0.1:8501:8501 \\\n"
            f"  -v {mount}:/models/gim:ro -e MODEL_NAME=gim \\\n"
            f"  {_SERVING_IMAGE}"
        ),
        "path_literal": repr(str(pushed_to)),
        "signature": "classify" if has_class else "classify_frames",
        **_REQUESTS.get(kind, _REQUESTS["patches"]),
    }


def _kind(experiment: Mapping[str, Any]) -> str:
    """The kind of view, "" if it is not known."""
    return str((experiment.get("view") or {}).get("kind", ""))


def _tensorboard_command(directory: str | None) -> str:
    return f"tensorboard --logdir {shlex.quote(directory)}" if directory else ""


def _reproduce_command(data: ReportData) -> str:
    name = data.experiment.get("name") or data.summary.get("experiment")
    if not name:
        return ""
    imported = (data.summary.get("pretrain") or {}).get("imported")
    verb = "import-weights" if imported else "run"
    words = ["gim", verb, "--experiment", str(name)]
    if imported:
        words += ["--weights", *(file["name"] for file in imported["files"])]
    for override in data.overrides:
        words += ["--set", override]
    return shlex.join([*words, "--output-dir", f"outputs/{name}_again"])
