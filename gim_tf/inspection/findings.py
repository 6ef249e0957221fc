"""What a run's figures mean, in sentences that a newcomer understands."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gim_tf.inspection.curves import (
    as_float,
    curve,
    history_modules,
    module_names,
    module_title,
)
from gim_tf.inspection.summary_table import ModuleRow, module_rows, percent
from gim_tf.inspection.tasks import Task, tasks

# A rank below 2 means that all features lie along one line.
_COLLAPSED_RANK = 2.0
_STARTS = {
    "info_nce": "Trained without a single label, ",
    "deep_infomax": "Trained without a single label, ",
    "supervised": "Trained with labels, ",
    "predsim": "Trained with labels, ",
}
_OVERFIT_NATS = 0.02  # a smaller rise of the held-out loss is no news
_LEARNED_NATS = 0.01  # a loss this near to a guess's has learned nothing


class Finding(NamedTuple):
    """One remark: an "alarm" needs action, a "note" needs to be known."""

    kind: Literal["alarm", "note"]
    text: str


def headline(summary: Mapping[str, Any], experiment: Mapping[str, Any]) -> str:
    """The result in a sentence a task, "" where nothing was probed."""
    said = [_said(task, summary) for task in tasks(summary)]
    said = [text for text in said if text]
    objective = (experiment.get("stack") or {}).get("objective") or {}
    start = _STARTS.get(str(objective.get("kind")), "After training, ")
    return f"{start}{' Also, '.join(said)}" if said else ""


def findings(
    summary: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Alarms and notes that summary.json and history.jsonl call for."""
    rows = module_rows(summary)
    return [
        *_alarms(history),
        *_collapsed(summary),
        *_unlearned(rows),
        *_stopped(summary),
        *_overfitted(summary, history),
        *(f for task in tasks(summary) for f in _about_probes(task, summary)),
    ]


def _said(task: Task, summary: Mapping[str, Any]) -> str:
    rows = [r for r in module_rows(summary, task) if math.isfinite(r.linear)]
    if not rows:
        return ""
    last = rows[-1]
    answer = task.words.answer.format(share=percent(last.linear))
    labels = _labelled(task, summary)
    taught = (
        f" (it was shown {labels:,} {task.words.labelled})" if labels else ""
    )
    known = [
        ("the same network before training", last.untrained),
        *task.known_controls(),
    ]
    compared = ", ".join(
        f"{name} gives {percent(v)}" for name, v in known if math.isfinite(v)
    )
    return (
        f"{last.title} lets a simple linear classifier {answer}{taught}"
        f"{'; ' if compared else ''}{compared}."
    )


def _labelled(task: Task, summary: Mapping[str, Any]) -> int | None:
    counts = (summary.get("probe_counts") or {}).get(task.name) or {}
    return counts.get("train") or (
        (summary.get("data") or {}).get("train")
        if task.name == "class"
        else None
    )


def _alarms(history: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """The trainer's collapse alarms: an alarm if they last to the end."""
    names = module_names(
        {n for line in history for n in line.get("alarms", ())}
    )
    found = []
    for name in names:
        steps = [li["step"] for li in history if name in li.get("alarms", ())]
        title = module_title(name).capitalize()
        if steps[-1] == history[-1]["step"]:
            text = f"{title} ended in the collapse alarm; see its spread below."
            found.append(Finding("alarm", text))
        else:
            text = (
                f"{title} was in the collapse alarm at {len(steps)} log lines, "
                f"the last at step {steps[-1]}, and recovered."
            )
            found.append(Finding("note", text))
    return found


def _collapsed(summary: Mapping[str, Any]) -> list[Finding]:
    modules = (summary.get("pretrain") or {}).get("modules") or {}
    found = []
    for row in module_rows(summary):
        rank = as_float((modules.get(row.name) or {}).get("effective_rank"))
        if rank < _COLLAPSED_RANK:
            text = (
                f"The features of {row.title} have collapsed: their "
                f"effective rank is {rank:.2f}, so nearly all inputs look "
                "alike to it. Try a smaller learning rate or more negatives."
            )
            found.append(Finding("alarm", text))
    return found


def _unlearned(rows: list[ModuleRow]) -> list[Finding]:
    return [
        Finding(
            "alarm",
            f"{row.title.capitalize()} has learned nothing: its loss "
            f"{row.loss:.3f} is that of a guess, {row.chance_loss:.3f}.",
        )
        for row in rows
        if row.loss > row.chance_loss - _LEARNED_NATS
    ]


def _stopped(summary: Mapping[str, Any]) -> list[Finding]:
    """Modules that stopped early."""
    stopped = (summary.get("pretrain") or {}).get("stopped") or {}
    return [
        Finding(
            "note",
            f"{module_title(name).capitalize()} stopped at step "
            f"{how['step']}, for {how['reason']}, and has its weights of step "
            f"{how['kept_step']}.",
        )
        for name, how in stopped.items()
    ]


def _overfitted(
    summary: Mapping[str, Any], history: Sequence[Mapping[str, Any]]
) -> list[Finding]:
    """Modules that ended worse on held-out examples than they were before."""
    found = []
    stopped = (summary.get("pretrain") or {}).get("stopped") or {}
    for name in history_modules(history):
        steps, losses = curve(history, name, "heldout_loss")
        if name in stopped or not steps:
            continue
        lowest = min(losses)
        if losses[-1] > lowest + _OVERFIT_NATS:
            text = (
                f"{module_title(name).capitalize()} overfits: its held-out "
                f"loss was lowest at step {steps[losses.index(lowest)]}, "
                f"{lowest:.3f}, and ended at {losses[-1]:.3f}. Set "
                "training.patience to stop it there."
            )
            found.append(Finding("note", text))
    return found


def _about_probes(task: Task, summary: Mapping[str, Any]) -> list[Finding]:
    rows = [r for r in module_rows(summary, task) if math.isfinite(r.linear)]
    if not rows:
        return []
    title = task.words.title
    last, best = rows[-1], max(rows, key=lambda row: row.linear)
    found = []
    if last.gain <= 0:
        text = (
            f"{title}: training did not help, {last.title} is no better than "
            "the same network untrained."
        )
        found.append(Finding("alarm", text))
    if best.linear > last.linear:
        text = (
            f"{title}: {best.title} is best, at {percent(best.linear)}; "
            "accuracy does not rise up to the last module."
        )
        found.append(Finding("note", text))
    better = [
        f"{name} {percent(value)}"
        for name, value in task.known_controls()
        if value > last.linear
    ]
    if better:
        text = (
            f"{title}: the features of {last.title} stay below "
            f"{', '.join(better)}. {task.words.note}"
        )
        found.append(Finding("note", text))
    return found
