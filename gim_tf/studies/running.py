"""Runs what is not finished, some at once, and tells how it goes.

A run is finished by its own `summary.json` alone, written last and of the
very settings. One that fails does not stop the others.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from gim_tf import config
from gim_tf.errors import (
    BenchError,
    CheckpointError,
    GimError,
    InterruptedRunError,
)
from gim_tf.paths import write_whole
from gim_tf.studies import ingesting, resources
from gim_tf.studies.planning import Bench, Run
from gim_tf.studies.processes import Child, stop
from gim_tf.training.interrupts import Interrupts
from gim_tf.training.run_directory import RunDirectory

LOG = "log.txt"
_POLL = 0.3  # seconds
_PATIENCE = 60.0  # for a process of a killed study to be gone, in seconds


class Failure(NamedTuple):
    """A run that did not end well, and the last line that it wrote."""

    label: str
    line: str
    log: Path


class Progress(Protocol):
    """Who is told how it goes."""

    def begin(self, done: int, total: int, jobs: int) -> None:
        """Of `total` runs and measurements some are done; what goes at once."""

    def started(self, label: str, steps: int) -> None:
        """A run has begun that has so many steps."""

    def at(self, label: str, stage: str, step: int) -> None:
        """A run is in a stage, "pretrain" or "probe", after that step."""

    def ended(self, label: str, failure: Failure | None) -> None:
        """A run has ended, well if there is no failure."""


def execute(
    runs: Sequence[Run],
    benches: Sequence[Bench],
    *,
    directory: Path,
    jobs: int | None,
    gigabytes: float,
    progress: Progress,
) -> list[Failure]:
    """Makes all runs and measurements that are not there yet.

    Args:
      runs: in the order in which they begin.
      benches: measured after all runs, one alone at a time.
      directory: of the study; the records are kept below it.
      jobs: runs at once; None: as many as cores and memory allow.
      gigabytes: memory that a run needs.
      progress: is told.

    Returns:
      What failed.

    Raises:
      InterruptedRunError: SIGTERM or SIGINT; all runs were saved.
    """
    left = [run for run in runs if run.summary() is None]
    unmeasured = [bench for bench in benches if bench.found() is None]
    total = len(runs) + len(benches)
    if jobs is None:
        jobs = resources.default_jobs(max(len(left), 1), gigabytes)
    progress.begin(total - len(left) - len(unmeasured), total, jobs)
    with Interrupts() as interrupts:
        pool = _Pool(interrupts, progress, resources.environment(jobs))
        refused = _ingest(left, directory, pool)
        pool.go([_of_run(run, refused, directory) for run in left], jobs)
        pool = _Pool(interrupts, progress, resources.environment(1), pool)
        pool.go([_of_bench(bench) for bench in unmeasured], 1)
    return pool.failures


class _Stage(NamedTuple):
    """One process of a job.

    Attributes:
      name: what it does.
      command: see `Child`.
      log: likewise.
      said: likewise.
      before: called first, and again until it is ready; a `GimError` or
        `OSError` is a failure.
      after: receives the child when it has ended well; likewise.
    """

    name: str
    command: Sequence[str]
    log: Path
    said: str = ""
    before: Callable[[], bool] = lambda: True
    after: Callable[[Child], None] = lambda child: None


class _Job:
    """Processes one after the other."""

    def __init__(
        self,
        label: str,
        stages: Sequence[_Stage],
        *,
        steps: int = 0,
        step: Callable[[], int] = lambda: 0,
    ) -> None:
        self.label, self.steps, self.step = label, steps, step
        self._stages: Iterator[_Stage] = iter(stages)
        self.stage: _Stage | None = None
        self.child: Child | None = None

    def proceed(self, environment: dict[str, str]) -> Failure | bool | None:
        """Goes on to the next process if need be.

        Returns:
          True while there is something to do, None when all is done well, or
          what failed.
        """
        if self.stage is not None and self.child is not None:
            code = self.child.code()
            if code is None:
                return True
            if code:
                line = self.child.last_line()
                return Failure(self.label, line, self.stage.log)
        try:
            return self._next(environment)
        except (GimError, OSError) as error:
            log = self.stage.log if self.stage else Path()
            return Failure(self.label, str(error), log)

    def _next(self, environment: dict[str, str]) -> bool | None:
        if self.stage is not None and self.child is not None:
            self.stage.after(self.child)
            self.stage = self.child = None
        self.stage = self.stage or next(self._stages, None)
        if self.stage is None:
            return None
        if self.stage.before():
            self.child = Child(
                self.stage.command, self.stage.log, environment, self.stage.said
            )
        return True


class _Pool:
    """Jobs, some at once; one that fails does not stop the others."""

    def __init__(
        self,
        interrupts: Interrupts,
        progress: Progress,
        environment: dict[str, str],
        before: "_Pool | None" = None,
    ) -> None:
        self._interrupts, self._progress = interrupts, progress
        self._environment = environment
        self.failures: list[Failure] = before.failures if before else []

    def go(
        self, jobs: Sequence[_Job], at_once: int, *, counted: bool = True
    ) -> None:
        """Until all have ended.

        Args:
          jobs: in the order in which they begin.
          at_once: how many.
          counted: whether these are among what was announced.

        Raises:
          InterruptedRunError: a signal came; all children were stopped.
        """
        waiting, active = list(jobs), list[_Job]()
        try:
            while waiting or active:
                while waiting and len(active) < at_once:
                    active.append(waiting.pop(0))
                    if counted:
                        self._progress.started(
                            active[-1].label, active[-1].steps
                        )
                active = [j for j in active if self._goes_on(j, counted)]
                if self._interrupts.received:
                    raise InterruptedRunError(
                        "Interrupted; what runs had reached is saved, run "
                        "again to go on.",
                        self._interrupts.received,
                    )
                time.sleep(_POLL if active else 0.0)
        finally:
            stop([job.child for job in active if job.child is not None])

    def _goes_on(self, job: _Job, counted: bool) -> bool:
        found = job.proceed(self._environment)
        if found is True and job.stage is not None:
            self._progress.at(job.label, job.stage.name, job.step())
            return True
        failure = found if isinstance(found, Failure) else None
        if failure is not None:
            self.failures.append(failure)
        if counted:
            self._progress.ended(job.label, failure)
        return False


def _ingest(
    runs: Sequence[Run], directory: Path, pool: _Pool
) -> dict[str, Failure]:
    """Makes the records of all runs, once a data set; returns what failed."""
    wanted = {ingesting.records_name(run.experiment): run for run in runs}
    jobs = [
        _Job(
            f"records {name}",
            [
                _Stage(
                    "ingest",
                    ingesting.command(),
                    directory / "records" / f"{name}.log",
                    ingesting.request(
                        run.experiment, directory / "records" / name
                    ),
                )
            ],
        )
        for name, run in wanted.items()
    ]
    pool.go(jobs, 1, counted=False)
    failed = {failure.label: failure for failure in pool.failures}
    pool.failures.clear()  # the runs that lack them say so
    return {
        name: failed[f"records {name}"]
        for name in wanted
        if f"records {name}" in failed
    }


def _of_run(run: Run, refused: dict[str, Failure], directory: Path) -> _Job:
    name, log = ingesting.records_name(run.experiment), run.directory / LOG
    first_asked = math.inf

    def before() -> bool:
        nonlocal first_asked
        if name in refused:
            raise CheckpointError(refused[name].line)
        first_asked = min(first_asked, time.monotonic())
        try:
            RunDirectory(run.directory).wait_until_free(0.0)
        except CheckpointError:
            if time.monotonic() > first_asked + _PATIENCE:
                raise
            return False
        ingesting.link(directory / "records" / name, run.directory / "records")
        return True

    first, second = run.commands().items()
    return _Job(
        run.label,
        [
            _Stage(*first, log, before=before),
            _Stage(*second, log),
        ],
        steps=run.steps,
        step=run.step,
    )


def _of_bench(bench: Bench) -> _Job:
    def keep(child: Child) -> None:
        content = {
            "settings": config.to_dict(bench.experiment),
            **_last_json(child.said()),
        }
        write_whole(bench.path, json.dumps(content, indent=2) + "\n")

    log = bench.path.with_suffix(".log")
    return _Job(
        bench.label,
        [_Stage("bench", bench.command(), log, after=keep)],
    )


def _last_json(said: str) -> dict[str, Any]:
    for line in reversed(said.splitlines()):
        with contextlib.suppress(ValueError):
            if isinstance(found := json.loads(line), dict):
                return found
    raise BenchError("The measurement ended well, but wrote no result.")
