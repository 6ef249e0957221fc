"""What was trained on what: a configuration and its counts, for people."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gim_tf.inspection.curves import as_float

# One sentence a `kind`; a kind that is not here shows its settings instead.
_VIEWS = {
    "patches": (
        "random {crop_size} x {crop_size} crops of {size} x {size} pictures "
        "padded to {pad_to} x {pad_to}, flipped with probability "
        "{flip_probability}, normalised, cut into patches of {patch_size} x "
        "{patch_size}, one every {patch_stride} pixels"
    ),
    "window": (
        "random windows of {length} samples at {sample_rate} Hz that start at "
        "multiples of {stride}, normalised with mean {mean} and deviation "
        "{std}; evaluation takes whole recordings"
    ),
}
_ENCODERS = {
    "resnet": (
        "pre-activation ResNet without normalisation, {block} blocks: a stem "
        "of {stem_channels} channels, then stages of {depths} blocks and "
        "width {planes}"
    ),
    "conv_audio": (
        "convolutions along time with ReLU: {channels} channels, kernels of "
        "{kernel_sizes} and strides of {strides} frames, zero frames on both "
        "sides {paddings}"
    ),
    "conv_grid": (
        "convolutions over the grid with ReLU, without normalisation: "
        "{channels} channels times {width}, kernels of {kernel_sizes}, strides "
        "of {strides}, after max-pooling of {pool_sizes}"
    ),
}
_CONTEXTS = {
    "gru": "GRU of {units} units over all frames so far",
    "masked_conv": "{num_layers} gated masked convolutions over rows above",
}
_OBJECTIVES = {
    "info_nce": (
        "InfoNCE: find the true one among {num_negatives} random others, up "
        "to {prediction_steps} steps ahead ({skip_steps} skipped)"
    ),
    "deep_infomax": (
        "local Deep InfoMax: find an example's own part among those of all "
        "others in the batch, compared in {mi_units} channels"
    ),
    "supervised": "cross-entropy of a linear head on the labels",
    "predsim": (
        "PredSim: {similarity_weight} times similarity matching with the "
        "labels, of {similarity_of}, and for the rest cross-entropy of a "
        "linear head"
    ),
}
_TRAINING = (
    "{num_steps} steps of {batch_size} examples, Adam with step size "
    "{learning_rate}, modules {schedule}, seed {seed}"
)


class Fact(NamedTuple):
    """One line of a table: what it is about, and the words."""

    name: str
    value: str


def facts(
    experiment: Mapping[str, Any], summary: Mapping[str, Any]
) -> list[Fact]:
    """The lines on data, views, network, objective and training."""
    return [
        *_data_facts(experiment, summary),
        *_network_facts(experiment),
        *_training_facts(experiment, summary),
    ]


def settings(experiment: Mapping[str, Any], prefix: str = "") -> list[Fact]:
    """Every setting under its dotted path, as `--set` takes it."""
    lines = []
    for name, value in experiment.items():
        if isinstance(value, Mapping):
            lines += settings(value, f"{prefix}{name}.")
        else:
            lines.append(Fact(f"{prefix}{name}", plain(value)))
    return lines


def plain(value: Any) -> str:
    """A setting as text: 0.001 is "0.001", [32, 64] is "32, 64"."""
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def number(value: Any, digits: int | None = None) -> str:
    """A quantity as text, rounded to what a reader needs; "-" for none."""
    real = as_float(value)
    if not math.isfinite(real):
        return "-"
    if digits is None:
        digits = 0 if real >= 100 or real == int(real) else 1
    return f"{real:,.{digits}f}"


def _data_facts(
    experiment: Mapping[str, Any], summary: Mapping[str, Any]
) -> Iterator[Fact]:
    source = experiment.get("data") or {}
    counts = summary.get("data") or {}
    if "source" in source:
        where = f", {source['path']}" if source.get("path") else ""
        yield Fact("Data", f"{source['source']}{where}")
    roles = (
        ("unlabelled", "for training, labels unread"),
        ("train", "labelled for the probes"),
        ("test", "to test them"),
    )
    known = [f"{number(counts[k])} {role}" for k, role in roles if k in counts]
    if known:
        yield Fact("Examples", "; ".join(known))
    if "fingerprint" in counts:
        yield Fact("Data fingerprint", str(counts["fingerprint"]))


def _network_facts(experiment: Mapping[str, Any]) -> Iterator[Fact]:
    stack = experiment.get("stack") or {}
    if "view" in experiment:
        yield Fact("Training view", _sentence(_VIEWS, experiment["view"]))
    if "encoder" in stack:
        yield Fact("Encoder", _sentence(_ENCODERS, stack["encoder"]))
    if stack.get("autoregressor"):
        context = _sentence(_CONTEXTS, stack["autoregressor"])
        where = stack.get("autoregressor_at", "last")
        yield Fact("Context", f"{context}, in the {where} module")
    if "module_sizes" in stack:
        sizes = stack["module_sizes"]
        cut = "; no gradient passes from one to another"
        yield Fact(
            "Modules",
            f"{len(sizes)}, of {plain(sizes)} blocks"
            f"{cut if len(sizes) > 1 else ', trained end to end'}",
        )
    if "objective" in stack:
        yield Fact("Objective", _sentence(_OBJECTIVES, stack["objective"]))


def _training_facts(
    experiment: Mapping[str, Any], summary: Mapping[str, Any]
) -> Iterator[Fact]:
    training = experiment.get("training") or {}
    pretrain = summary.get("pretrain") or {}
    if "imported" in pretrain:
        yield Fact("Weights", _origin(pretrain["imported"]))
    elif training:
        text = _sentence({"": _TRAINING}, {**training, "kind": ""})
        yield Fact("Training", text)
    if "seconds" in pretrain:
        rate = number(pretrain.get("examples_per_second"))
        yield Fact(
            "Took",
            f"{number(pretrain['seconds'])} s for "
            f"{number(pretrain.get('steps'))} steps, {rate} examples a second",
        )


def _origin(imported: Mapping[str, Any]) -> str:
    files = [f"{f['name']} (sha256 {f['sha256']})" for f in imported["files"]]
    return f"not trained here; imported from {', '.join(files)}"


def _sentence(templates: Mapping[str, str], values: Mapping[str, Any]) -> str:
    template = templates.get(str(values.get("kind")))
    words = {name: plain(value) for name, value in values.items()}
    try:
        return str(template).format_map(words) if template else _listed(words)
    except KeyError:
        return _listed(words)


def _listed(words: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in words.items()
    )
