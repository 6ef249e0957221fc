"""The experiment that a golden case is: options and shapes, read off."""

import re
from collections.abc import Mapping
from typing import Any

from gim_tf import config, experiments
from gim_tf.config import Experiment
from gim_tf.errors import GoldenError
from gim_tf.fidelity.cases import Case

Shapes = Mapping[str, tuple[int, ...]]
Settings = tuple[str, dict[str, Any]]

_NEGATIVES = {"0": "shifted", "1": "permuted", "2": "sequence"}
# Hard-coded in the authors' code, so that neither options nor arrays tell.
_WINDOW = 128
_STRIDES, _PADDINGS = (5, 4, 2, 2, 2), (2, 2, 2, 2, 1)
_LOG_OFFSET = 1e-11  # where there are patches

_RESIDUAL = re.compile(r"model\.0\.(\d+)\.model\.layer (\d+)\.(\d+)\.conv(\d)")
_CONV1D = re.compile(
    r"fullmodel\.(\d+)\.encoder\.model\.layer (\d+)\.0\.weight"
)


def experiment_of(case: Case) -> Experiment:
    """The experiment of ours that computes what the case holds.

    Raises:
      GoldenError: an option that no experiment of ours has.
    """
    options, shapes = case.options, case.shapes()
    if options.get("loss", "0") != "0":
        raise GoldenError(
            f"{case.name}: loss {options['loss']} is not InfoNCE."
        )
    length = case.input(0).shape[1]
    if case.has_patches:
        base, settings = _patch_settings(options, shapes)
        sides = ("size", "pad_to", "crop_size")
        settings |= {f"view.{name}": length for name in sides}
    else:
        base, settings = _sequence_settings(options, shapes)
        settings["view.length"] = length
    settings |= {
        "training.batch_size": int(options["batch_size"]),
        "training.learning_rate": float(options["learning_rate"]),
        "stack.objective.prediction_steps": int(options["prediction_step"]),
        "stack.objective.num_negatives": int(options["negative_samples"]),
    }
    words = [f"{key}={value!r}" for key, value in settings.items()]
    return config.resolve(experiments.get(base), words)


def _patch_settings(options: Mapping[str, str], shapes: Shapes) -> Settings:
    """(experiment, overrides) of a case with patches."""
    found = [
        (tuple(map(int, match.groups())), shape)
        for name, shape in shapes.items()
        if (match := _RESIDUAL.match(name)) and name.endswith("weight")
    ]
    stages: dict[tuple[int, int], dict[int, int]] = {}
    blocks: dict[tuple[int, int], int] = {}
    for (module, stage, block, conv), shape in found:
        stages.setdefault((module, stage), {})[conv] = shape[0]
        blocks[module, stage] = max(blocks.get((module, stage), 0), block + 1)
    order = sorted(stages)
    is_bottleneck = options["resnet"] == "50"
    first = stages[order[0]]
    modules = sorted({module for module, _ in order})
    sizes = [sum(blocks[k] for k in order if k[0] == m) for m in modules]
    stem = shapes["model.0.0.model.Conv1.weight"]
    settings = {
        "view.channels": stem[1],
        "view.mean": [0.0] * stem[1],
        "view.std": [1.0] * stem[1],
        "stack.encoder.block": "bottleneck" if is_bottleneck else "basic",
        "stack.encoder.stem_channels": stem[0],
        "stack.encoder.planes": [stages[key][1] for key in order],
        "stack.encoder.depths": [blocks[key] for key in order],
        "stack.module_sizes": [sizes[0] + 1, *sizes[1:]],
        "stack.objective.log_offset": _LOG_OFFSET,
    }
    if is_bottleneck:
        settings["stack.encoder.expansion"] = first[3] // first[1]
    is_cpc = any(name.startswith("model.1.") for name in shapes)
    return "stl10_cpc" if is_cpc else "stl10_gim", settings


def _sequence_settings(options: Mapping[str, str], shapes: Shapes) -> Settings:
    """(experiment, overrides) of a case with sequences."""
    found = {
        tuple(map(int, match.groups())): shape
        for name, shape in shapes.items()
        if (match := _CONV1D.match(name))
    }
    layers = [shape for _, shape in sorted(found.items())]
    recurrent = {
        name.split(".")[1]: shape[1]
        for name, shape in shapes.items()
        if ".gru.weight_hh" in name
    }
    modules = {int(name.split(".")[1]) for name in shapes}
    sizes = [sum(m == module for m, _ in found) for module in sorted(modules)]
    settings: dict[str, Any] = {
        "stack.encoder.channels": [shape[0] for shape in layers],
        "stack.encoder.kernel_sizes": [shape[2] for shape in layers],
        "stack.encoder.strides": list(_STRIDES[: len(layers)]),
        # Some are too short for a frame where a label is; nothing is probed.
        "probe.tasks": ["speaker"],
        "stack.encoder.paddings": list(_PADDINGS[: len(layers)]),
        "stack.module_sizes": sizes,
        "stack.objective.negatives": _NEGATIVES[options["sampling_method"]],
        "stack.objective.window": (
            _WINDOW if options["subsample"] == "True" else None
        ),
    }
    if not recurrent:
        return "librispeech_gim_no_gru", settings
    return "librispeech_gim", settings | {
        "stack.autoregressor.units": next(iter(recurrent.values())),
        "stack.autoregressor.backpropagate_through_time": (
            options["remove_BPTT"] != "True"
        ),
        "stack.autoregressor_at": "every" if len(recurrent) > 1 else "last",
    }
