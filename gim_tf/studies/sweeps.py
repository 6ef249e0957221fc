"""A sweep of a user's own, from a JSON file, as a study.

    {"dataset": "fashion_mnist",
     "vary": {"stack.objective.prediction_steps": [1, 3, 5],
              "training.learning_rate": [1e-4, 1e-3]}}

`gim study FILE.json` trains the experiment as it is, and once more for each
value, with that one setting changed. Optional: "experiment" (by default
"{dataset}_gim"), "summary", and "together": [{"setting": value, ...}, ...],
of which each is one more system with all these settings.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gim_tf.errors import ConfigError
from gim_tf.studies.schema import Study, System

_KEYS = {"dataset", "experiment", "summary", "vary", "together"}


def read(path: Path) -> Study:
    """The study that a file describes, named as the file is.

    Raises:
      ConfigError: the file cannot be read, or is no sweep.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}.") from error
    try:
        return _study(path.stem, content)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _study(name: str, content: Any) -> Study:
    _check(content)
    experiment = content.get("experiment", "{dataset}_gim")
    base = experiment.removeprefix("{dataset}_")
    systems = [System(name=base, title="as it is", experiment=experiment)]
    for settings, group in _changes(content):
        words = [f"{k}={v!r}" for k, v in settings.items()]
        title = ", ".join(f"{_last(k)} = {v}" for k, v in settings.items())
        systems.append(
            System(
                name=f"{base}_{_slug(' '.join(words))}",
                title=title,
                experiment=experiment,
                overrides=tuple(words),
                group=group,
            )
        )
    names = [system.name for system in systems]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ConfigError(f"Expected each run once, received {twice[0]} twice.")
    return Study(
        name=name,
        summary=content.get("summary", f"a sweep of {len(systems) - 1} runs"),
        paper="none: a sweep of your own",
        cost=f"a seed: {len(systems)} runs, as DATASET_gim",
        datasets=(content["dataset"],),
        systems=tuple(systems),
        tables=("systems", "by_depth"),
        figures=("systems", "by_depth"),
    )


def _changes(
    content: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], str]]:
    for key, values in content.get("vary", {}).items():
        for value in values:
            yield {key: value}, _last(key)
    for settings in content.get("together", []):
        yield settings, "together"


def _check(content: Any) -> None:
    """Raises `ConfigError` unless all of it has the right form."""
    if not isinstance(content, dict) or not content.keys() <= _KEYS:
        raise ConfigError(
            f"Expected an object of {', '.join(sorted(_KEYS))}, received "
            f"{_shown(content)}."
        )
    for key in ("dataset", "experiment", "summary"):
        if not isinstance(content.get(key, ""), str):
            raise ConfigError(f"Expected text as {key!r}.")
    if not content.get("dataset"):
        raise ConfigError("Expected the name of a 'dataset'.")
    vary, together = content.get("vary", {}), content.get("together", [])
    lists = isinstance(vary, dict) and all(
        isinstance(values, list) and values for values in vary.values()
    )
    if not lists:
        raise ConfigError("Expected a list of values for each of 'vary'.")
    objects = isinstance(together, list) and all(
        isinstance(one, dict) and one for one in together
    )
    if not objects:
        raise ConfigError("Expected a list of objects as 'together'.")
    if not vary and not together:
        raise ConfigError("Expected something to 'vary', or 'together'.")


def _shown(content: Any) -> str:
    if isinstance(content, dict):
        return ", ".join(map(repr, content)) or "an empty one"
    return type(content).__name__


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _slug(text: str) -> str:
    # With the signs: -1 is not 1, and their runs have folders of these names.
    return re.sub(r"[^0-9A-Za-z.+-]+", "_", text).strip("_.")
