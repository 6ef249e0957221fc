"""The tables of a study, as text cells, and as Markdown."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gim_tf.config import Experiment
from gim_tf.inspection.curves import module_title
from gim_tf.inspection.tasks import SCORE, UNTRAINED, WORDS
from gim_tf.studies.rows import CONTROLS, Results
from gim_tf.studies.schema import QUOTED_FROM, Quoted
from gim_tf.studies.spread import Spread, percent, spread, text

_NONE = "-"


class Table(NamedTuple):
    """Cells as text.

    Attributes:
      title: of the table.
      header: one cell a column.
      rows: the same.
      note: what a reader must know.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def systems(results: Results) -> Table:
    """Accuracy of all systems at their last module, and what stands beside."""
    quoted = _quoted(results)
    header = ["system"]
    for task in results.tasks:
        header.append(f"{WORDS[task].title.lower()}, %")
        if task in quoted:
            header.append(_paper(results, task))
    rows = []
    for system in results.systems:
        found = [results.last(system.name, SCORE, t) for t in results.tasks]
        cells = _accuracies(results, found, system.paper)
        seconds = results.over_seeds(system.name, "train_seconds")
        rows.append([system.title, *cells, str(seconds.n), text(seconds, 0)])
    for name, title in CONTROLS.items():
        found = [results.control(name, task) for task in results.tasks]
        count = max((one.n for one in found), default=0)
        paper = results.request.study.controls.get(name, {})
        if count:
            cells = _accuracies(results, found, paper)
            rows.append([title, *cells, str(count), ""])
    header += ["n", "training, s"]
    notes = [_SPREAD, "The same data and the same probe for all.", _SECONDS]
    if quoted:
        data = dict.fromkeys(
            QUOTED_FROM[t] for t in results.tasks if t in quoted
        )
        notes.append(_PAPER.format(" and ".join(data)))
    return Table(
        f"Linear probe of the last module, {results.request.chosen}",
        header,
        rows,
        " ".join(notes),
    )


def by_depth(results: Results) -> Table:
    """Error of a linear classifier on each module."""
    depth = [f"module_{i}" for i in range(1, results.deepest + 1)]
    rows = []
    for system in results.systems:
        for task in results.tasks:
            found = [error(results, system.name, task, m) for m in depth]
            rows.append(_errors(system.title, task, found))
    for task in results.tasks:
        found = untrained_errors(results, task)
        if found:
            blank = [spread([])] * (len(depth) - len(found))
            rows.append(_errors(CONTROLS["untrained"], task, [*found, *blank]))
    return Table(
        f"Error of a linear classifier on each module, %, "
        f"{results.request.chosen}",
        ["system", "task", *map(module_title, depth), "n"],
        rows,
        f"{_SPREAD} Networks trained end to end are probed at the depths at "
        "which Greedy InfoMax is cut.",
    )


def paper_by_depth(results: Results) -> Table:
    """The paper's errors of speakers, where ours are of speakers too."""
    titles = {s.name: s.title for s in results.request.study.systems}
    quoted = results.request.study.speaker_errors
    if "speaker" not in results.tasks:
        quoted = {}
    count = max(map(len, quoted.values()), default=0)
    return Table(
        "The paper's figure: error of speakers by module, %, "
        f"{QUOTED_FROM['speaker']}",
        ["system", *(f"module {i}" for i in range(1, count + 1))],
        [
            [titles[name], *(f"{value:g}" for value in values)]
            for name, values in quoted.items()
        ],
        "Not ours: read off its figure, give or take 3 % of each value, of "
        "other data and larger networks.",
    )


def schedules(results: Results) -> Table:
    """What simultaneous and sequential training cost, and what they reach."""
    task = next(iter(results.tasks), "")
    measured = {
        bench.measurement.title: found
        for bench, found in results.benches.values()
    }
    flops = {name: found["flops_per_step"] for name, found in measured.items()}
    first = next(iter(flops.values()), math.nan)
    rows = []
    for system in results.systems:
        found = measured.get(system.title, {})
        training = _experiment(results, system.name).training
        ratio = first / flops.get(system.title, math.nan)
        equal = round(training.num_steps * ratio) if ratio == ratio else None
        peak = found.get("peak_mib_above_import")
        rows.append(
            [
                system.title,
                f"{training.num_steps:,}",
                text(results.over_seeds(system.name, "steps"), 0),
                _NONE if equal is None else f"{equal:,}",
                text(results.over_seeds(system.name, "train_seconds"), 0),
                _NONE if peak is None else f"{peak:.0f}",
                percent(results.last(system.name, SCORE, task)),
                str(results.over_seeds(system.name, "steps").n),
            ]
        )
    return Table(
        f"Schedules, {results.request.chosen}",
        [
            "schedule",
            "updates of each module",
            "training steps",
            "updates at equal compute",
            "training, s",
            "peak MiB",
            f"{WORDS[task].title.lower() if task else 'probe'}, %",
            "n",
        ],
        rows,
        f"{_SPREAD} {_SECONDS} Updates at equal compute: of each module, for "
        "as many floating-point operations as the first row took, counted in "
        "the graphs of a step. Peak: largest resident set above that after "
        "import.",
    )


def losses(results: Results) -> Table:
    """Local loss on data trained on and held out, module by module."""
    task = next(iter(results.tasks), "")
    rows = []
    for system in results.systems:
        for module in results.modules(system.name, task):
            seen, held_out = (
                results.over_seeds(system.name, metric, module=module)
                for metric in ("seen_loss", "heldout_loss")
            )
            gaps = _differences(results, system.name, module)
            rows.append(
                [
                    system.title,
                    module_title(module),
                    text(seen, 3),
                    text(held_out, 3),
                    text(gaps, 3),
                    percent(
                        results.over_seeds(
                            system.name, SCORE, task=task, module=module
                        )
                    ),
                ]
            )
    return Table(
        f"Local losses, {results.request.chosen}",
        [
            "schedule",
            "module",
            "loss on examples trained on, nats",
            "held-out loss, nats",
            "held-out - trained on",
            f"{WORDS[task].title.lower() if task else 'probe'}, %",
        ],
        rows,
        f"{_SPREAD} Both losses are of the last weights, on as many examples, "
        "with views and negatives that never change: a module that overfits "
        "has a held-out loss above that of examples that it was trained on.",
    )


def memory(results: Results) -> Table:
    """Peak and kept memory of a step, by how its gradients are taken."""
    rows = [
        [
            found["experiment"],
            line["variant"],
            str(found["batch_size"]),
            f"{line['peak_mib_above_import']:,.0f}",
            f"{line['of_supervised']:.2f}",
            f"{line['kept_mib']:,.1f}",
            f"{line['kept_of_supervised']:.2f}",
            f"{line['wall_s']['median']:.3f}",
            f"{line['parameters']:,}",
        ]
        for _, found in results.benches.values()
        for line in found["rows"]
    ]
    return Table(
        "Memory of a training step",
        [
            "network",
            "step",
            "batch",
            "peak MiB",
            "of supervised",
            "kept MiB",
            "of supervised's",
            "s a step",
            "parameters",
        ],
        rows,
        "Peak: largest resident set above that after import, parameters and "
        "Adam's moments included. Kept: bytes that the forward pass holds for "
        "the backward pass. Each row is a process of its own.",
    )


TABLES: Mapping[str, Callable[[Results], Table]] = {
    "systems": systems,
    "by_depth": by_depth,
    "paper_by_depth": paper_by_depth,
    "schedules": schedules,
    "losses": losses,
    "memory": memory,
}
"""What `Study.tables` names."""

_SPREAD = "Mean +- sample standard deviation over n seeds."
_SECONDS = "Training is wall time as it was, with what else ran on the machine."
_PAPER = (
    "The paper's figures are of {}, not of these data, and are quoted with "
    "how they are known; unverified ones were not seen at their source."
)


def markdown(table: Table) -> str:
    """The table as Markdown, under its title if it has one."""
    lines = [f"### {table.title}", ""] if table.title else []
    lines += [
        _line(table.header),
        "|---" * len(table.header) + "|",
        *map(_line, table.rows),
    ]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines) + "\n"


def error(
    results: Results, system: str, task: str, module: str, metric: str = SCORE
) -> Spread:
    """1 - accuracy."""
    found = results.over_seeds(system, metric, task=task, module=module)
    return found._replace(mean=1.0 - found.mean)


def untrained_errors(results: Results, task: str) -> list[Spread]:
    """Of each module before training, of the first system that has them."""
    metric = f"{UNTRAINED}{SCORE}"
    for system in results.systems:
        found = [
            error(results, system.name, task, module, metric)
            for module in results.modules(system.name, task)
            if module
        ]
        if any(one.n for one in found):
            return found
    return []


def _errors(title: str, task: str, found: Sequence[Spread]) -> list[str]:
    count = max((one.n for one in found), default=0)
    cells = [percent(one) if one.n else _NONE for one in found]
    return [title, WORDS[task].title.lower(), *cells, str(count)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _quoted(results: Results) -> set[str]:
    """Tasks that the paper has a figure of, for some row that is shown."""
    shown = [system.paper for system in results.systems]
    shown += results.request.study.controls.values()
    return {task for paper in shown for task in paper} & set(results.tasks)


def _paper(results: Results, task: str) -> str:
    several = f", {task}" if len(results.tasks) > 1 else ""
    return f"the paper's, {QUOTED_FROM[task]}{several}"


def _accuracies(
    results: Results, found: Sequence[Spread], paper: Mapping[str, Quoted]
) -> list[str]:
    """Ours of each task, and the paper's beside it where there is a column."""
    quoted = _quoted(results)
    cells = []
    for task, one in zip(results.tasks, found, strict=True):
        cells.append(percent(one))
        if task in quoted:
            cells.append(_cell(paper, task))
    return cells


def _cell(paper: Mapping[str, Quoted], task: str) -> str:
    return str(paper[task]) if task in paper else _NONE


def _differences(results: Results, system: str, module: str) -> Spread:
    """Held-out loss minus that of examples trained on, seed by seed."""

    def by_seed(metric: str) -> dict[int | None, float]:
        return {
            row.seed: row.value
            for row in results.rows
            if (row.system, row.metric, row.task, row.module)
            == (system, metric, "", module)
        }

    seen, held_out = by_seed("seen_loss"), by_seed("heldout_loss")
    seeds = held_out.keys() & seen.keys()
    return spread(held_out[seed] - seen[seed] for seed in seeds)


def _experiment(results: Results, system: str) -> Experiment:
    return next(
        one.run.experiment
        for one in results.finished
        if one.run.system.name == system
    )
