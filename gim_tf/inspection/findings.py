"""What a run's figures mean, in sentences that a newcomer understands."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gim_tf.inspection.curves import as_float, module_names, module_title
from gim_tf.inspection.summary_table import ModuleRow, module_rows, percent

# A rank below 2 means that all features lie along one line.
_COLLAPSED_RANK = 2.0
_STARTS = {
    "info_nce": "Trained without a single label, ",
    "supervised": "Trained with labels, ",
}
_LEARNED_NATS = 0.01  # a loss this near to a guess's has learned nothing


class Finding(NamedTuple):
    """One remark: an "alarm" needs action, a "note" needs to be known."""

    kind: Literal["alarm", "note"]
    text: str


def headline(summary: Mapping[str, Any], experiment: Mapping[str, Any]) -> str:
    """The result in one sentence, "" where nothing was probed."""
    rows = [r for r in module_rows(summary) if math.isfinite(r.linear)]
    if not rows:
        return ""
    last = rows[-1]
    labels = (summary.get("data") or {}).get("train")
    objective = (experiment.get("stack") or {}).get("objective") or {}
    start = _STARTS.get(str(objective.get("kind")), "After training, ")
    middle = (
        f"{last.title} lets a simple linear classifier name "
        f"{percent(last.linear)} of unseen examples correctly"
    )
    taught = f" (it was shown {labels:,} labelled ones)" if labels else ""
    return f"{start}{middle}{taught}{_comparison(last, summary)}."


def findings(
    summary: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()
) -> list[Finding]:
    """Alarms and notes that summary.json and history.jsonl call for."""
    rows = module_rows(summary)
    return [
        *_alarms(history),
        *_collapsed(summary),
        *_unlearned(rows),
        *_about_probes(rows, summary),
    ]


def _comparison(last: ModuleRow, summary: Mapping[str, Any]) -> str:
    controls = summary.get("controls") or {}
    values = (
        ("the same network before training", last.untrained),
        ("raw input", as_float(controls.get("raw_top1"))),
        ("guessing", as_float(controls.get("chance"))),
    )
    known = [f"{n} gives {percent(v)}" for n, v in values if math.isfinite(v)]
    return "; " + ", ".join(known) if known else ""


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


def _about_probes(
    rows: list[ModuleRow], summary: Mapping[str, Any]
) -> list[Finding]:
    rows = [row for row in rows if math.isfinite(row.linear)]
    if not rows:
        return []
    last, best = rows[-1], max(rows, key=lambda row: row.linear)
    raw = as_float((summary.get("controls") or {}).get("raw_top1"))
    found = []
    if last.gain <= 0:
        text = (
            f"Training did not help: {last.title} is no better than the "
            "same network untrained."
        )
        found.append(Finding("alarm", text))
    if best.linear > last.linear:
        text = (
            f"{best.title.capitalize()} is best, at {percent(best.linear)}: "
            "accuracy does not rise up to the last module."
        )
        found.append(Finding("note", text))
    if raw > last.linear:
        text = (
            f"A linear classifier on the raw input reaches {percent(raw)}, "
            f"more than on the pooled features of {last.title}. Pooling "
            "drops where things are; the grid probe keeps it."
        )
        found.append(Finding("note", text))
    return found
