"""One experiment over seeds, module by module, from finished summaries."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gim_tf import config
from gim_tf.config import Experiment
from gim_tf.errors import DataError
from gim_tf.inspection.tasks import GAIN, UNTRAINED, Task, tasks
from gim_tf.studies.planning import bare
from gim_tf.studies.spread import Spread, percent, spread
from gim_tf.studies.tables import Table


class OverSeeds(NamedTuple):
    """What several seeds found in one task.

    Attributes:
      task: its name.
      table: a line a module, with the controls in its note.
      figures: by module and result, and those of "controls".
    """

    task: str
    table: Table
    figures: dict[str, dict[str, Spread]]


def over_seeds(summaries: Sequence[Mapping[str, Any]]) -> list[OverSeeds]:
    """Mean and spread of every result, task by task.

    Args:
      summaries: the contents of the runs' summary.json.

    Raises:
      DataError: other experiments, settings or data, or a seed twice.
      ConfigError: settings that are none.
    """
    kinds = {
        (run["experiment"], run["data"]["fingerprint"]) for run in summaries
    }
    seeds = {run["seed"] for run in summaries}
    if len(kinds) != 1 or len(seeds) != len(summaries):
        raise DataError(
            "Expected one experiment on one data set with a seed a run, "
            f"received {len(kinds)} kinds and {len(seeds)} seeds in "
            f"{len(summaries)} runs."
        )
    first, *others = (_without_seed(run["settings"]) for run in summaries)
    for other in others:
        if differing := config.overrides(first, other):
            raise DataError(
                "Expected runs of the same settings but for their seeds, "
                f"received {', '.join(differing)} in one of them; "
                "`gim study` compares systems."
            )
    by_task = zip(*(tasks(run) for run in summaries), strict=True)
    return [_of_task(same) for same in by_task]


def _without_seed(settings: Mapping[str, Any]) -> Experiment:
    """Nor the place of the data, whose content is compared."""
    experiment = bare(config.from_dict(settings))
    return dataclasses.replace(
        experiment,
        data=dataclasses.replace(experiment.data, path=None),
        training=dataclasses.replace(experiment.training, seed=0),
    )


def _of_task(runs: Sequence[Task]) -> OverSeeds:
    first = runs[0]
    columns = {}
    for key, title in first.measured(first.words.columns):
        if key != GAIN and not key.startswith(UNTRAINED):
            columns[key] = title
            columns[f"{UNTRAINED}{key}"] = "untrained"
    figures = {
        module: {
            key: spread(run.value(module, key) for run in runs)
            for key in columns
        }
        for module in first.names
    }
    controls = {
        key: spread(run.controls[key] for run in runs)
        for key, value in first.controls.items()
        if value is not None
    }
    named = ", ".join(f"{k} {percent(found)}" for k, found in controls.items())
    table = Table(
        first.words.title,
        ["module", *columns.values()],
        [
            [module, *(percent(found[key]) for key in columns)]
            for module, found in figures.items()
        ],
        f"Controls: {named}; n = {len(runs)} seeds.",
    )
    return OverSeeds(first.name, table, {**figures, "controls": controls})
