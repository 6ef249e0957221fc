"""The figures of a study, from its results; matplotlib is loaded here."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gim_tf.inspection import study_plots
from gim_tf.inspection.curves import curve, history_modules
from gim_tf.inspection.study_plots import Point, Trace
from gim_tf.inspection.tasks import SCORE, WORDS
from gim_tf.studies.rows import CONTROLS, Results
from gim_tf.studies.spread import Spread
from gim_tf.studies.tables import error, untrained_errors


def systems(results: Results) -> bytes:
    """Accuracy of each system at its last module, and of the controls."""
    panels = {}
    for task in results.tasks:
        points = [
            _point(s.title, results.last(s.name, SCORE, task))
            for s in results.systems
        ]
        points += [
            _point(title, results.control(name, task), control=True)
            for name, title in CONTROLS.items()
            if any(results.control(name, one).n for one in results.tasks)
        ]
        panels[WORDS[task].title] = points
    return study_plots.systems(panels, "test accuracy, %")


def by_depth(results: Results) -> bytes:
    """Error of a linear classifier on each module, all systems in one plot."""
    panels = {}
    for task in results.tasks:
        curves = {
            system.title: [
                _point(module, error(results, system.name, task, module))
                for module in results.modules(system.name, task)
            ]
            for system in results.systems
        }
        before = untrained_errors(results, task)
        if before:
            title = CONTROLS["untrained"]
            curves[title] = [_point("", one, control=True) for one in before]
        panels[WORDS[task].title] = curves
    return study_plots.by_depth(panels, "test error, %")


def losses(results: Results) -> bytes:
    """Evaluated losses over training, of the first seed of each system."""
    panels = {}
    for one in results.finished:
        title = one.run.system.title
        if title not in panels:
            history = _history(one.run.directory)
            panels[f"{title}"] = [
                _trace(history, name) for name in history_modules(history)
            ]
    return study_plots.losses(panels)


def memory(results: Results) -> bytes:
    """Peak memory of each kind of step, by network."""
    panels = {
        found["experiment"]: [
            Point(line["variant"], line["peak_mib_above_import"])
            for line in found["rows"]
        ]
        for _, found in results.benches.values()
    }
    return study_plots.systems(panels, "peak MiB above import")


FIGURES: Mapping[str, Callable[[Results], bytes]] = {
    "systems": systems,
    "by_depth": by_depth,
    "losses": losses,
    "memory": memory,
}
"""What `Study.figures` names."""


def _point(name: str, found: Spread, *, control: bool = False) -> Point:
    return Point(name, 100 * found.mean, 100 * found.std, control)


def _history(directory: Path) -> list[dict[str, Any]]:
    path = directory / "training" / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def _trace(history: list[dict[str, Any]], module: str) -> Trace:
    return Trace(
        module,
        *curve(history, module, "seen_loss"),
        *curve(history, module, "heldout_loss"),
    )
