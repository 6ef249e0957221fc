"""What each kind of probing hands to the job that writes it all down."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gim_tf.paths import Place
from gim_tf.probes.linear_probe import confusion_matrix

Save = Callable[[Place, Place, Mapping[str, Any], Mapping[str, str]], None]
"""(directory of the encoder, directory to write, facts for its manifest,
documents by name)."""


class Probed(NamedTuple):
    """Results, and what shows them.

    Attributes:
      tasks: by name, what `task_results` gives.
      save: writes the encoder again, with the probes of its last module.
      features: by module, [n, d]: points for TensorBoard's projector.
      metadata: columns of n texts that say what the points are.
      views: [n, height, width, 1 or 3], what the points are of; or None.
      pictures: PNG bytes by name, for the report.
      neurons: what the picture "neurons" shows, as
        `gim_tf.jobs.exciting.NeuronFigure` has it.
    """

    tasks: dict[str, dict[str, Any]]
    save: Save
    features: Mapping[str, np.ndarray]
    metadata: Mapping[str, Sequence[str]]
    views: np.ndarray | None
    pictures: Mapping[str, bytes]
    neurons: Sequence[Mapping[str, Any]]


def task_results(
    modules: Mapping[str, Mapping[str, float | None]],
    controls: Mapping[str, float | None],
    *,
    predicted: np.ndarray,
    labels: np.ndarray,
    num_train: int,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The section of one task in `probes.json`.

    Args:
      modules: accuracies in [0, 1] by module.
      controls: accuracies without the encoder.
      predicted: [n], of the last module's probe on the test split.
      labels: [n], what was to be predicted.
      num_train: examples that the probes were fitted on.
      class_names: one a class.
    """
    confusion = confusion_matrix(predicted, labels, len(class_names))
    return {
        "modules": modules,
        "controls": controls,
        "confusion": confusion.tolist(),
        "class_names": list(class_names),
        "counts": {"train": num_train, "test": len(labels)},
    }


def beside(
    scores: Mapping[str, Mapping[str, float | None]],
    untrained: Mapping[str, Mapping[str, float | None]],
) -> dict[str, dict[str, float | None]]:
    """Accuracies of each module, and the untrained one's behind a prefix."""
    return {
        name: {**found, **prefixed("untrained", untrained[name])}
        for name, found in scores.items()
    }


def prefixed(
    prefix: str, accuracies: Mapping[str, float | None]
) -> dict[str, float | None]:
    """The same with the prefix and "_" before each key."""
    return {f"{prefix}_{key}": value for key, value in accuracies.items()}


def by_task(tasks: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any]:
    """One key of each task, as summaries and manifests have it.

    Examples with one label have no level of tasks: what stands for "class"
    is given itself.
    """
    if list(tasks) == ["class"]:
        return tasks["class"][key]
    return {name: found[key] for name, found in tasks.items()}
