"""A whole study: plan, run what is missing, collect, write."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from gim_tf.errors import DataError
from gim_tf.studies.planning import (
    Request,
    plan_benches,
    plan_runs,
    same_data,
)
from gim_tf.studies.rows import collect
from gim_tf.studies.running import Failure, Progress, execute
from gim_tf.studies.schema import FULL_SIZE
from gim_tf.studies.writing import write
from gim_tf.training.run_directory import held

_LOCK = "study.lock"


class Outcome(NamedTuple):
    """What a study came to.

    Attributes:
      content: of results.json.
      failures: runs that did not end well.
      total: runs and measurements in all.
    """

    content: dict[str, Any]
    failures: Sequence[Failure]
    total: int


def conduct(
    request: Request, *, jobs: int | None, progress: Progress
) -> Outcome:
    """Makes what is missing, and all tables and figures of what is there.

    Args:
      request: what is wanted.
      jobs: runs at once; None: as many as cores and memory allow, one of
        networks of the paper's size.
      progress: is told how it goes.

    Raises:
      ConfigError: a system without an experiment, settings that do not fit,
        or runs on other data.
      DataError: another study is at work in the directory.
      InterruptedRunError: SIGTERM or SIGINT; all runs were saved.
    """
    runs, benches = plan_runs(request), plan_benches(request)
    place = request.directory
    if jobs is None and request.chosen in FULL_SIZE:
        jobs = 1
    with held(place / _LOCK, place, DataError):
        failures = execute(
            runs,
            benches,
            directory=place.absolute(),
            jobs=jobs,
            gigabytes=request.study.gigabytes,
            progress=progress,
        )
        results = collect(request, runs, benches)
        same_data({one.run.label: one.summary for one in results.finished})
        content = write(results)
    return Outcome(content, failures, len(runs) + len(benches))
