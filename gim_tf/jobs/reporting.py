"""The job `report`: summary.json and report.html from what a run left."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gim_tf import config, experiments
from gim_tf.config import Experiment
from gim_tf.errors import DataError
from gim_tf.export.manifest import versions
from gim_tf.inspection.report import ReportData, render
from gim_tf.jobs.probed import by_task
from gim_tf.paths import AnyPath, as_path, in_order, write_whole

PAGE = "report.html"
SUMMARY = "summary.json"
_SOURCES = "report_sources.json"


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the parts of a report lie.

    Attributes:
      data: JSON file with "counts", "fingerprint" and "num_rejected".
      training: folder with `pretrain.json`, `history.jsonl`, `pictures/`.
      probes: folder with `probes.json`, and `pictures/` if there are any.
      tensorboard: log directory.
      blessing: folder with `verdict.json`; None: nothing was judged.
      pushed: folder with `pushed.json`; None: nothing was pushed.
      evaluation: JSON file with "accuracy" and "by_class" of the exported
        classifier; None: it was not evaluated.
    """

    data: str
    training: str
    probes: str
    tensorboard: str
    blessing: str | None = None
    pushed: str | None = None
    evaluation: str | None = None


def write_report(
    experiment: Experiment,
    sources: Sources,
    directory: AnyPath,
    *,
    execution: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Writes `summary.json` and `report.html`, and how to write them again.

    Args:
      experiment: the resolved configuration.
      sources: see there.
      directory: created if missing.
      execution: time, memory and artifacts of each pipeline component, as
        `gim_tf.inspection.report.ReportData` takes them.

    Returns:
      The content of summary.json.

    Raises:
      DataError: a part is missing or no JSON; names the file.
    """
    place = as_path(directory)
    probes = _json(sources.probes, "probes.json")
    verdict = _json(sources.blessing, "verdict.json")
    summary = {
        "experiment": experiment.name,
        "seed": experiment.training.seed,
        "settings": config.to_dict(experiment),
        # Of the process that exported what was probed, if it is known.
        "versions": probes.get("versions") or versions(),
        "data": _data(experiment, _json(sources.data)),
        "pretrain": _json(sources.training, "pretrain.json"),
        "probes": by_task(probes["tasks"], "modules"),
        "controls": by_task(probes["tasks"], "controls"),
        "probe_counts": {
            task: found["counts"] for task, found in probes["tasks"].items()
        },
        "evaluation": _json(sources.evaluation) or None,
        "blessed": bool(verdict.get("blessed", False)),
        "reasons": verdict.get("reasons", []),
        "pushed_to": _json(sources.pushed, "pushed.json").get("pushed_to"),
        "report": str(place / PAGE),
        "tensorboard": sources.tensorboard,
        "components": [dict(entry) for entry in execution],
    }
    page = render(
        ReportData(
            experiment=config.to_dict(experiment),
            summary=summary,
            history=_history(sources.training),
            tasks=probes["tasks"],
            pictures={
                **_pictures(sources.training),
                **_pictures(sources.probes),
            },
            execution=execution,
            blessing=verdict,
            overrides=_overrides(experiment),
            tensorboard_dir=sources.tensorboard,
        )
    )
    again = {
        "experiment": config.to_dict(experiment),
        "sources": dataclasses.asdict(sources),
        "execution": list(execution),
    }
    place.mkdir(parents=True, exist_ok=True)
    write_whole(place / _SOURCES, _text(again))
    write_whole(place / PAGE, page)
    write_whole(place / SUMMARY, _text(summary))
    return json.loads(_text(summary))


def report(directory: AnyPath) -> dict[str, Any]:
    """Writes the report of a finished run again; returns its summary.

    Raises:
      DataError: the directory holds no finished run.
    """
    path = as_path(directory) / _SOURCES
    if not path.exists():
        raise DataError(
            f"{directory} holds no finished run (no {_SOURCES}); run "
            "`gim run`, or `gim pretrain` and `gim probe`, there first."
        )
    again = _json(str(path))
    return write_report(
        config.from_dict(again["experiment"]),
        Sources(**again["sources"]),
        directory,
        execution=again["execution"],
    )


def _overrides(experiment: Experiment) -> list[str]:
    """What `--set` would have to say to get this from the named one."""
    if experiment.name not in experiments.names():
        return []
    return config.overrides(experiments.get(experiment.name), experiment)


def _data(experiment: Experiment, facts: Mapping[str, Any]) -> dict[str, Any]:
    data, counts = experiment.data, facts["counts"]
    return {
        # What pretraining reads, whose labels it does not see.
        "unlabelled": counts[data.pretrain_split],
        "train": counts[data.train_split],
        "test": counts[data.test_split],
        "fingerprint": facts["fingerprint"],
        "rejected": facts["num_rejected"],
    }


def _history(training: str) -> list[dict[str, Any]]:
    text = (as_path(training) / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _pictures(folder: str) -> dict[str, bytes]:
    pictures = as_path(folder) / "pictures"
    paths = in_order(pictures.iterdir()) if pictures.is_dir() else []
    return {
        path.name.removesuffix(".png"): path.read_bytes()
        for path in paths
        if path.name.endswith(".png")
    }


def _json(*parts: str | None) -> dict[str, Any]:
    """Content of a JSON file; nothing where a part of its path is None."""
    if None in parts:
        return {}
    path = as_path("/".join(part for part in parts if part is not None))
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is missing or damaged; run the step that writes it again."
        ) from error


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
