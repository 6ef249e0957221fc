"""One long table of everything that the runs of a study found.

Made of the runs' own summaries at each call: nothing else is kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gim_tf.inspection.curves import as_float, module_names, module_number
from gim_tf.inspection.tasks import SCORE, UNTRAINED, WORDS, tasks
from gim_tf.studies.planning import Bench, Request, Run
from gim_tf.studies.schema import System
from gim_tf.studies.spread import Spread, spread

CONTROLS = {
    "untrained": "same network, untrained",
    "raw": "linear on raw input",
    "mfcc": "MFCC with deltas",
    "log_mel": "log-mel",
    "chance": "most frequent class",
}
"""Title of what stands beside the systems, by its name."""

_CONTROL_KEYS = {
    "raw": "raw_top1",
    "mfcc": f"mfcc_{SCORE}",
    "log_mel": f"log_mel_{SCORE}",
    "chance": "chance",
}
# Of training, what stands for a whole run.
_OF_RUN = {
    "seconds": "train_seconds",
    "steps": "steps",
    "examples_per_second": "examples_per_second",
}
# Beside the accuracies of the probes it would be taken for one.
_RENAMED = {"accuracy": "contrastive_accuracy"}


class Row(NamedTuple):
    """One number; what does not apply is empty.

    Attributes:
      study: its name.
      dataset: what the experiments' names begin with.
      system: name of the system, or the row of a bench.
      seed: of the run.
      module: such as "module_3".
      task: of the probes: "class", "phone", "speaker"; empty for training.
      metric: such as "linear_top1", "loss", "train_seconds".
      value: accuracies in [0, 1], losses in nats, times in seconds.
    """

    study: str
    dataset: str
    system: str
    seed: int | None
    module: str
    task: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run and its summary."""

    run: Run
    summary: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Results:
    """What a study has found so far.

    Attributes:
      request: what was asked for.
      systems: that have a finished run, in the study's order.
      finished: all runs that are.
      benches: what was measured, by the measurement's name.
      rows: all numbers.
      missing: labels of what is not there.
    """

    request: Request
    systems: Sequence[System]
    finished: Sequence[Finished]
    benches: Mapping[str, tuple[Bench, Mapping[str, Any]]]
    rows: Sequence[Row]
    missing: Sequence[str]

    def over_seeds(
        self, system: str, metric: str, *, task: str = "", module: str = ""
    ) -> Spread:
        """One quantity of one system."""
        return spread(
            row.value
            for row in self.rows
            if (row.system, row.metric, row.task, row.module)
            == (system, metric, task, module)
        )

    def modules(self, system: str, task: str) -> list[str]:
        """What was probed or trained of a system, by depth."""
        found = {
            row.module
            for row in self.rows
            if row.system == system and row.task == task
        }
        return module_names(found)

    def last(self, system: str, metric: str, task: str) -> Spread:
        """One quantity of a system's last module."""
        names = self.modules(system, task)
        if not names:
            return spread([])
        return self.over_seeds(system, metric, task=task, module=names[-1])

    def control(self, name: str, task: str) -> Spread:
        """A control, on the first system that has it."""
        for system in self.systems:
            found = (
                self.last(system.name, f"{UNTRAINED}{SCORE}", task)
                if name == "untrained"
                else self.over_seeds(
                    system.name, _CONTROL_KEYS[name], task=task
                )
            )
            if found.n:
                return found
        return spread([])

    @property
    def tasks(self) -> list[str]:
        """Names of the probes' tasks, the most important first."""
        probed = {row.task for row in self.rows}
        return [name for name in WORDS if name in probed]

    @property
    def deepest(self) -> int:
        """The largest number of modules of any system."""
        names = {row.module for row in self.rows if row.module}
        return max(map(module_number, names), default=0)


def collect(
    request: Request, runs: Sequence[Run], benches: Sequence[Bench]
) -> Results:
    """Reads what is there."""
    finished, missing = [], []
    for run in runs:
        summary = run.summary()
        if summary is None:
            missing.append(run.label)
        else:
            finished.append(Finished(run=run, summary=summary))
    measured = {}
    for bench in benches:
        found = bench.found()
        if found is None:
            missing.append(bench.label)
        else:
            measured[bench.measurement.name] = (bench, found)
    there = {one.run.system.name for one in finished}
    systems = dict.fromkeys(run.system.name for run in runs)
    by_name = {run.system.name: run.system for run in runs}
    return Results(
        request=request,
        systems=[by_name[name] for name in systems if name in there],
        finished=finished,
        benches=measured,
        rows=[
            *_of_runs(request, finished),
            *_of_benches(request, measured.values()),
        ],
        missing=missing,
    )


def _of_runs(request: Request, finished: Iterable[Finished]) -> Iterator[Row]:
    for one in finished:
        for module, task, metric, value in _numbers(one.summary):
            yield Row(
                request.study.name,
                request.chosen,
                one.run.system.name,
                one.run.seed,
                module,
                task,
                metric,
                value,
            )


def _numbers(
    summary: Mapping[str, Any],
) -> Iterator[tuple[str, str, str, float]]:
    """(module, task, metric, value) of all scalars."""
    for task in tasks(summary):
        for module in task.names:
            for metric, value in _scalars(task.modules[module]):
                yield module, task.name, metric, value
        for metric, value in _scalars(task.controls):
            yield "", task.name, metric, value
    pretrain = summary.get("pretrain") or {}
    for metric, value in _scalars(pretrain):
        if metric in _OF_RUN:
            yield "", "", _OF_RUN[metric], value
    modules = pretrain.get("modules") or {}
    for module in module_names(modules):
        for metric, value in _scalars(modules[module]):
            yield module, "", _RENAMED.get(metric, metric), value


def _of_benches(
    request: Request,
    measured: Iterable[tuple[Bench, Mapping[str, Any]]],
) -> Iterator[Row]:
    for bench, found in measured:
        of = bench.experiment.name.removesuffix("_gim")
        for line in found.get("rows") or [found]:
            system = line.get("variant") or bench.measurement.title
            for metric, value in _scalars(_flat(line)):
                yield Row(
                    study=request.study.name,
                    dataset=of,
                    system=system,
                    seed=None,
                    module="",
                    task="",
                    metric=metric,
                    value=value,
                )


def _flat(line: Mapping[str, Any]) -> dict[str, Any]:
    """`wall_s` and `cpu_s` by their medians; nothing else that is nested."""
    medians = {
        key: value.get("median")
        for key, value in line.items()
        if isinstance(value, Mapping)
    }
    return {**line, **medians}


def _scalars(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        number = as_float(value)
        if number == number:  # NaN stands for what was not measured
            yield key, number
