"""The Evaluator's result as plain data: accuracy, in all and by class."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma

NAME = "evaluation.json"

_ACCURACY = "sparse_categorical_accuracy"
_COUNT = "example_count"


def write_evaluation(
    evaluation: str, class_names: Sequence[str], path: str
) -> None:
    """Writes what `read_evaluation` returns as JSON; folders are made."""
    content = read_evaluation(evaluation, class_names)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    tf.io.gfile.makedirs(os.path.dirname(path))
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(text)


def read_evaluation(
    evaluation: str, class_names: Sequence[str]
) -> dict[str, Any]:
    """What the exported classifier reaches on the test split, by TFMA.

    Args:
      evaluation: folder of the ModelEvaluation artifact.
      class_names: one name a class, in label order.

    Returns:
      {"accuracy", "by_class": {name: {"accuracy", "examples"}}}; accuracies
      are shares in [0, 1]. Classes without examples are left out.
    """
    result = tfma.load_eval_result(evaluation)
    slices = {key: metrics[""][""] for key, metrics in result.slicing_metrics}
    by_class = {}
    for label, name in enumerate(class_names):
        metrics = slices.get((("label", label),))
        if metrics is not None:
            by_class[name] = {
                "accuracy": _number(metrics, _ACCURACY),
                "examples": int(_number(metrics, _COUNT) or 0),
            }
    return {
        "accuracy": _number(slices.get((), {}), _ACCURACY),
        "by_class": by_class,
    }


def _number(metrics: Mapping[str, Any], name: str) -> float | None:
    """A metric's value; None for what JSON cannot say."""
    value = metrics.get(name, {}).get("doubleValue", math.nan)
    return float(value) if math.isfinite(value) else None
