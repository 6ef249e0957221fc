"""The card of an exported model: what it is, what it can do, and what not.

Made of the export's manifest and of probes.json alone, so that it can be made
again; equal facts give equal bytes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from gim_tf.inspection import pages
from gim_tf.inspection.facts import Fact, facts, number, plain
from gim_tf.inspection.summary_table import (
    ModuleRow,
    cell,
    module_rows,
    percent,
)
from gim_tf.inspection.tasks import SCORE, WORDS, Task

MARKDOWN = "MODEL_CARD.md"
HTML = "MODEL_CARD.html"

# (what the data are, their licence) by the name of the source.
_DATA = {
    "embedded": (
        "Fashion-MNIST (Xiao, Rasul and Vollgraf 2017), its first 10,000 "
        "training and first 2,000 test images",
        "MIT",
    ),
    "embedded_speech": (
        "synthetic speech of four voices of flite 2.2: nobody said any of it",
        "sentences and labels Apache-2.0; the voices are free to use, copy, "
        "change and redistribute, (c) Carnegie Mellon University and "
        "University of Edinburgh (gim_tf/data/made_speech/README)",
    ),
}
_ELSEWHERE = "see the source"

# What one is asked to send, by whether the manifest tells of frames.
_SENT = {
    False: {
        "input": "image_bytes",
        "file": "picture.png",
        "what": "encoded PNG or JPEG pictures",
        "classify": "classify",
    },
    True: {
        "input": "audio_bytes",
        "file": "recording.wav",
        "what": "WAV recordings of 16 bits with one channel",
        "classify": "classify",
    },
}
# What is said besides of an export that needs a package to be loaded.
_FLAC = {
    "file": "recording.flac",
    "what": "FLAC or WAV recordings of 16 bits with one channel",
}
_INPUT = (
    "Each signature that takes files or records decodes FLAC besides WAV, "
    "without loss, at the sample rate of the recipe; all else is refused.",
    "Graph, weights and answers are those of the export that this one was "
    "made from, which takes WAV alone.",
)
_REQUIRES = (
    "It loads only where {packages} is installed and its operations are "
    "registered, as below and by gim serve. A stock TF Serving lacks them: "
    "serve the export that takes WAV there."
)
_ALIKE = (
    "Frames and windows of one recording are much alike, so the uncertainty "
    "is larger than the +- of independent examples says."
)


def render(
    manifest: Mapping[str, Any], probes: Mapping[str, Any]
) -> dict[str, str]:
    """The card as Markdown and as HTML, by file name.

    Args:
      manifest: of the export: "experiment", "step", "data_fingerprint",
        "versions", perhaps "frames", "imported" and "requires".
      probes: the content of probes.json; {} of an encoder without heads.
    """
    values = _values(manifest, probes)
    return {
        MARKDOWN: pages.render("model_card.md", **values) + "\n",
        HTML: pages.render("model_card.html", **values) + "\n",
    }


def standard_error(share: float, count: int) -> float:
    """Of a share of `count` independent examples; NaN without any."""
    if not count or not math.isfinite(share):
        return math.nan
    return math.sqrt(share * (1.0 - share) / count)


def _values(
    manifest: Mapping[str, Any], probes: Mapping[str, Any]
) -> dict[str, Any]:
    experiment = manifest["experiment"]
    details = probes.get("tasks", {})
    tasks = [
        Task(name, found["modules"], found["controls"])
        for name, found in details.items()
        if name in WORDS
    ]
    imported = manifest.get("imported")
    pretrain = {"imported": imported} if imported else {}
    recipe = facts(experiment, {"pretrain": pretrain})
    return {
        "name": experiment["name"],
        "summary": experiment.get("summary", ""),
        "is_local": len(experiment["stack"]["module_sizes"]) > 1,
        "data": _data(experiment, details),
        "recipe": [fact for fact in recipe if fact.name != "Data"],
        "tasks": [_task(task, details[task.name]) for task in tasks],
        "probe": plain_settings(probes.get("settings") or {}),
        "limits": _limits(manifest, tasks, details),
        "lineage": _lineage(manifest),
        "input": _input(manifest),
        "sent": _sent(manifest, tasks),
    }


def plain_settings(values: Mapping[str, Any], prefix: str = "") -> str:
    """Settings in one line, such as "epochs 20, phone.l2 0.0"."""
    words = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            words.append(plain_settings(value, f"{prefix}{name}."))
        else:
            words.append(f"{prefix}{name} {plain(value)}")
    return ", ".join(words)


def _sent(manifest: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, str]:
    sent = dict(_SENT["frames" in manifest])
    if tasks and not {"class", "speaker"} & {task.name for task in tasks}:
        sent["classify"] = "classify_frames"
    return {**sent, **_FLAC} if manifest.get("requires") else sent


def _input(manifest: Mapping[str, Any]) -> list[str]:
    """What is different about the input of a variant; nothing of others."""
    packages = manifest.get("requires")
    if not packages:
        return []
    return [*_INPUT, _REQUIRES.format(packages=", ".join(packages))]


def _data(
    experiment: Mapping[str, Any], details: Mapping[str, Any]
) -> list[Fact]:
    settings = experiment["data"]
    source = settings["source"]
    objective = experiment["stack"]["objective"].get("kind")
    labelled = objective in ("supervised", "predsim")
    read = "with their labels" if labelled else "labels unread"
    what, licence = _DATA.get(source, (f"source `{source}`", _ELSEWHERE))
    lines = [
        Fact("Data", what),
        Fact("Licence of the data", licence),
        Fact(
            "Splits",
            f"{settings['pretrain_split']} for training, {read}; "
            f"{settings['train_split']} to fit the probes, "
            f"{settings['test_split']} to test them",
        ),
    ]
    for name, found in details.items():
        counts, classes = found["counts"], found["class_names"]
        lines.append(
            Fact(
                f"Task {name}",
                f"{number(counts['train'])} {_unit(name)} to fit the probes, "
                f"{number(counts['test'])} to test them, {len(classes)} "
                f"classes: {', '.join(map(str, classes))}",
            )
        )
    return lines


def _task(task: Task, details: Mapping[str, Any]) -> dict[str, Any]:
    rows = module_rows({}, task)
    shown = task.measured(task.words.columns)
    count = details["counts"]["test"]
    return {
        "title": task.words.title,
        "columns": [title for _, title in shown],
        "rows": [
            (row.title, [_cell(row, key, count) for key, _ in shown])
            for row in rows
        ],
        "control_rows": [
            (title, _control_cells(values, shown, count))
            for title, values in task.control_rows(shown)
        ],
        "controls": [
            (title, f"{percent(value)}{_error(value, count)}")
            for title, value in task.known_controls()
        ],
        "train": number(details["counts"]["train"]),
        "test": number(count),
        "unit": _unit(task.name),
    }


def _unit(task: str) -> str:
    return {"phone": "frames", "speaker": "windows"}.get(task, "examples")


def _cell(row: ModuleRow, key: str, count: int) -> str:
    text = cell(row, key)
    # Other results may be of other numbers of examples.
    return f"{text}{_error(row.linear, count)}" if key == SCORE else text


def _control_cells(
    values: Sequence[float], shown: Sequence[tuple[str, str]], count: int
) -> list[str]:
    return [
        ""
        if math.isnan(value)
        else f"{percent(value)}{_error(value, count) if key == SCORE else ''}"
        for value, (key, _) in zip(values, shown, strict=True)
    ]


def _error(share: float, count: int) -> str:
    error = standard_error(share, count)
    return f" +- {100 * error:.1f}" if math.isfinite(error) else ""


def _limits(
    manifest: Mapping[str, Any],
    tasks: Sequence[Task],
    details: Mapping[str, Any],
) -> list[str]:
    seed = manifest["experiment"]["training"]["seed"]
    limits = (
        [
            f"One run with seed {seed}: the +- is the standard error of the "
            "test examples alone. Other seeds differ by more or less than "
            "that, which this card cannot know.",
            "The accuracies are those of linear probes on data like the "
            "training data; nothing is known about other data.",
            "The classifier knows the classes listed above and always names "
            "one of them; its scores are not calibrated.",
        ]
        if tasks
        else [
            f"One run with seed {seed}, not probed: what its representations "
            "can tell has not been measured."
        ]
    )
    limits += [text for task in tasks for text in _beaten(task)]
    if any(name in ("phone", "speaker") for name in details):
        limits.append(_ALIKE)
    if manifest.get("imported"):
        limits.append(
            "The encoder's weights were imported and not trained here; what "
            "they were trained on is not known to this card."
        )
    return limits


def _beaten(task: Task) -> list[str]:
    last = task.names[-1] if task.names else ""
    value = task.value(last, SCORE)
    return [
        f"{task.words.title}: {title} is better than the encoder "
        f"({percent(control)} against {percent(value)}). {task.words.note}"
        for title, control in task.known_controls()
        if control > value
    ]


def _lineage(manifest: Mapping[str, Any]) -> list[Fact]:
    experiment = manifest["experiment"]
    lines = [
        Fact("Experiment", experiment["name"]),
        Fact("Seed", plain(experiment["training"]["seed"])),
        Fact("Step", plain(manifest.get("step", "-"))),
        Fact("Data fingerprint", plain(manifest.get("data_fingerprint", "-"))),
        *(
            Fact(f"Imported {file['name']}", f"sha256 {file['sha256']}")
            for file in (manifest.get("imported") or {}).get("files", ())
        ),
    ]
    versions = manifest.get("versions") or {}
    lines += [Fact(name, versions[name]) for name in sorted(versions)]
    return lines
