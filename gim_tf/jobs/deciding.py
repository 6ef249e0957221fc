"""What of an experiment decides the weights of its run."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gim_tf import config
from gim_tf.config import BlessingConfig, Experiment, ProbeConfig
from gim_tf.errors import ConfigError

_HELDOUT_SETTINGS = (
    "heldout_every",
    "heldout_examples",
    "patience",
    "min_delta",
)
"""Of `TrainingConfig`: without the first, the others decide nothing."""
_TRADES = (
    "recompute_groups",
    "operations_in_turn",
    "jit_compile",
    "decoupled_queue",
)
"""Of `TrainingConfig`, of time and memory: they change weights by rounding.

Or, where modules train freely, no more than chance does anyway.
"""
_PLACES = ("strategy",)
"""Likewise: how many replicas there are decides, not where they are."""


def deciding(experiment: Experiment) -> dict[str, Any]:
    """What decides the weights: no probes, no prose, no trade for memory.

    A run that needs too much memory can go on with other settings of it.
    """
    deciding = dataclasses.replace(
        experiment,
        summary="",
        paper="",
        cost="",
        probe=ProbeConfig(),
        blessing=BlessingConfig(),
    )
    settings = config.to_dict(deciding)
    held_out = experiment.training.heldout_every > 0
    undecided = () if held_out else _HELDOUT_SETTINGS
    if experiment.training.schedule != "decoupled":
        undecided = (*undecided, "decoupled_mode")
    for name in (*_TRADES, *_PLACES, *undecided):
        del settings["training"][name]
    return settings


def renewed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A record as this version would write it.

    Args:
      recorded: what an earlier version made by `deciding`, with what was
        recorded beside it.

    Returns:
      With settings that are new since at their defaults, which are what
      earlier versions did; unchanged where it cannot be read as settings.
    """
    names = {item.name for item in dataclasses.fields(Experiment)}
    own = {key: recorded[key] for key in recorded if key in names}
    try:
        experiment = config.from_dict(own)
    except ConfigError:
        return dict(recorded)
    probe = config.to_dict(experiment.probe)
    return {**recorded, **deciding(experiment), "probe": probe}
