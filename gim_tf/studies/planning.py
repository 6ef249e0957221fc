"""From a study to its runs: resolved experiments, commands and folders."""

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gim_tf import config, experiments
from gim_tf.config import BlessingConfig, Experiment
from gim_tf.errors import ConfigError, GimError
from gim_tf.studies.schema import Measurement, Study, System
from gim_tf.training.schedules import phases, total_steps

_TAIL = 1 << 16  # bytes; a line has fewer
_GIM = (sys.executable, "-m", "gim_tf.cli")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked for.

    Attributes:
      study: which one.
      dataset: of its experiments; None: the study's first.
      data: `data.path` of all runs; None: as the experiments have it.
      seeds: one run a seed and system.
      overrides: settings of all runs, others than those of the systems.
      systems: names of the only ones; none: all that fit the data set.
      directory: of runs, records and results.
    """

    study: Study
    dataset: str | None = None
    data: str | None = None
    seeds: tuple[int, ...]
    overrides: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    directory: Path

    @property
    def chosen(self) -> str:
        """The data set."""
        return self.dataset or self.study.datasets[0]

    @property
    def results(self) -> Path:
        """Where tables and figures go."""
        return self.directory / f"{self.study.name}_{self.chosen}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training with its probes, in a directory of its own.

    Attributes:
      system: of the study.
      seed: of weights, batches and probes.
      experiment: resolved.
      settings: `dotted.path=value` words that make it of the named one.
      directory: of the run.
    """

    system: System
    seed: int
    experiment: Experiment
    settings: tuple[str, ...]
    directory: Path

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.system.name}, seed {self.seed}"

    @property
    def steps(self) -> int:
        """Training steps in all."""
        training, stack = self.experiment.training, self.experiment.stack
        return total_steps(
            phases(training.schedule, stack.num_modules, training.num_steps)
        )

    def commands(self) -> dict[str, list[str]]:
        """The processes that make it, by what they do, in order."""
        place = ["--output-dir", str(self.directory)]
        # The runs of a study differ by more than their controls do.
        controls = ["--controls", str(self.directory.parents[2] / "controls")]
        chosen = ["--experiment", self.experiment.name]
        words = [word for s in self.settings for word in ("--set", s)]
        return {
            "pretrain": [*_GIM, "pretrain", *chosen, *place, *words],
            "probe": [*_GIM, "probe", *place, *controls],
        }

    def step(self) -> int:
        """The last step that it has logged."""
        path = self.directory / "training" / "history.jsonl"
        try:
            with path.open("rb") as history:
                history.seek(max(0, path.stat().st_size - _TAIL))
                return int(json.loads(history.read().splitlines()[-1])["step"])
        except (OSError, ValueError, IndexError, KeyError):
            return 0

    def summary(self) -> dict[str, Any] | None:
        """What it found, if it is finished and was of these very settings."""
        return read_if_of(self.directory / "summary.json", self.experiment)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One measurement, in a process of its own.

    Attributes:
      measurement: of the study.
      experiment: resolved.
      settings: as those of a run.
      path: of what it found.
    """

    measurement: Measurement
    experiment: Experiment
    settings: tuple[str, ...]
    path: Path

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"bench {self.measurement.name}"

    def command(self) -> list[str]:
        """The process that measures; its last line of output is JSON."""
        words = [word for s in self.settings for word in ("--set", s)]
        chosen = ["--experiment", self.experiment.name]
        bench = self.measurement.bench
        return [*_GIM, "bench", *bench, *chosen, *words, "--json"]

    def found(self) -> dict[str, Any] | None:
        """What was measured, if it was of these very settings."""
        return read_if_of(self.path, self.experiment)


def plan_runs(request: Request) -> list[Run]:
    """All runs of a study, seed by seed.

    Raises:
      ConfigError: a system that there is no experiment for, or settings that
        do not fit; names the system.
    """
    systems = _systems(request)
    runs = []
    for seed in request.seeds:
        for system in systems:
            settings = _settings(request, system, seed)
            runs.append(
                Run(
                    system=system,
                    seed=seed,
                    experiment=_resolve(request, system, settings),
                    settings=settings,
                    directory=request.directory.absolute()
                    / "runs"
                    / f"{request.chosen}_{system.name}"
                    / f"seed_{seed}",
                )
            )
    return runs


def plan_benches(request: Request) -> list[Bench]:
    """All measurements of a study.

    Raises:
      ConfigError: see `plan_runs`.
    """
    benches = []
    for measurement in request.study.measurements:
        if not _fits(measurement, request.chosen):
            continue
        # Without the data: what a step needs does not depend on them.
        own = request.overrides if measurement.own else ()
        settings = (*measurement.overrides, *own)
        benches.append(
            Bench(
                measurement=measurement,
                experiment=_resolve(request, measurement, settings),
                settings=settings,
                path=request.directory.absolute()
                / "bench"
                / f"{request.chosen}_{measurement.name}.json",
            )
        )
    return benches


def read_if_of(path: Path, experiment: Experiment) -> dict[str, Any] | None:
    """The content of a JSON file whose "settings" are this experiment's.

    What ingest finds, prose and thresholds of blessing may differ.
    """
    try:
        content = json.loads(path.read_text())
        recorded = config.from_dict(content["settings"])
    except (OSError, ValueError, KeyError, TypeError, GimError):
        return None
    same = not config.overrides(bare(experiment), bare(recorded))
    return content if same else None


def bare(experiment: Experiment) -> Experiment:
    """Without prose and thresholds, which change nothing of a run."""
    return dataclasses.replace(
        experiment, summary="", paper="", cost="", blessing=BlessingConfig()
    )


def _systems(request: Request) -> list[System]:
    study = request.study
    fitting = [s for s in study.systems if _fits(s, request.chosen)]
    names = [system.name for system in fitting]
    for name in request.systems:
        if name not in names:
            raise ConfigError(
                f"Study {study.name!r} has no system {name!r} on "
                f"{request.chosen!r}, expected some of {', '.join(names)}."
            )
    wanted = request.systems or names
    chosen = [system for system in fitting if system.name in wanted]
    wanted_names = [_name(system, request) for system in chosen]
    missing = [n for n in wanted_names if n not in experiments.names()]
    if missing:
        there = [s.name for s in chosen if _name(s, request) not in missing]
        raise ConfigError(
            f"There is no experiment {', '.join(missing)}; choose another "
            f"--dataset, or the other systems: --systems {','.join(there)}."
        )
    return chosen


def _fits(one: System | Measurement, dataset: str) -> bool:
    return not one.datasets or dataset in one.datasets


def _name(one: System | Measurement, request: Request) -> str:
    return one.experiment.format(dataset=request.chosen)


def _settings(request: Request, system: System, seed: int) -> tuple[str, ...]:
    _check_untouched(system, request.overrides)
    settings = [*system.overrides]
    if system.by_depth:
        settings.append(_division(request, system))
    settings += request.overrides
    if request.data is not None:
        settings.append(f"data.path={request.data!r}")
    return (*settings, f"training.seed={seed}")


def _check_untouched(system: System, overrides: Sequence[str]) -> None:
    """A setting of all runs must not undo what makes a system one."""
    for own, setting in itertools.product(system.overrides, overrides):
        # The same setting, or one inside of the other.
        one, other = (f"{_key(text)}." for text in (own, setting))
        if one.startswith(other) or other.startswith(one):
            raise ConfigError(
                f"{_key(own)} is what system {system.name!r} is about; leave "
                f"{setting!r} out, or choose other --systems."
            )


def _key(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _division(request: Request, system: System) -> str:
    """The depths at which Greedy InfoMax of this data set is cut."""
    stack = experiments.get(_name(system, request)).stack
    sizes: Sequence[int] = experiments.get(
        f"{request.chosen}_gim"
    ).stack.module_sizes
    if stack.autoregressor is None:
        sizes = [size for size in sizes if size]
    return f"probe.module_sizes={list(sizes)}"


def _resolve(
    request: Request, one: System | Measurement, settings: Sequence[str]
) -> Experiment:
    experiment = experiments.get(_name(one, request))
    try:
        return config.resolve(experiment, settings)
    except ConfigError as error:
        raise ConfigError(f"{one.name}: {error}") from error


def same_data(summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises `ConfigError` if runs of one table were on other data.

    Args:
      summaries: by the run's label.
    """
    found: dict[str, str] = {}
    for label, summary in summaries.items():
        found.setdefault(summary["data"]["fingerprint"], label)
    if len(found) > 1:
        one, other, *_ = found.values()
        raise ConfigError(
            f"{one!r} and {other!r} are on data of other content, which no "
            "table compares; use another --output-dir."
        )
