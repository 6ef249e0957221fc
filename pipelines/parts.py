"""The part of an experiment that each component reads, and no more.

Parts are parameters of the components, and so keys of TFX's cache.
"""

import dataclasses
import hashlib
import json
from typing import Any

from gim_tf import config


def data_part(experiment: config.Experiment) -> dict[str, Any]:
    """What decides the records: the source, not the limits of the gate."""
    return config.to_dict(_ungated(experiment.data))


def data_config(part: dict[str, Any]) -> config.DataConfig:
    """Inverse of `data_part`."""
    lists = {k: tuple(v) for k, v in part.items() if isinstance(v, list)}
    return config.DataConfig(**{**part, **lists})


def training_part(experiment: config.Experiment) -> config.Experiment:
    """The experiment with all that does not decide the weights at default."""
    return dataclasses.replace(
        probe_part(experiment), probe=config.ProbeConfig()
    )


def exported_part(experiment: config.Experiment) -> config.Experiment:
    """`training_part`, and the division by depth that the export has."""
    sizes = experiment.probe.module_sizes
    return dataclasses.replace(
        training_part(experiment), probe=config.ProbeConfig(module_sizes=sizes)
    )


def probe_part(experiment: config.Experiment) -> config.Experiment:
    """The experiment with all that does not decide the probes at default."""
    return dataclasses.replace(
        experiment,
        summary="",
        paper="",
        cost="",
        data=_ungated(experiment.data),
        blessing=config.BlessingConfig(),
    )


def measured_on(experiment: config.Experiment, data_fingerprint: str) -> str:
    """Short hash of what two accuracies must share to be compared.

    The data by content wherever they lie, their splits and classes, and the
    settings of the probe, of speakers also the length of what they are told
    by; not the network or its training.
    """
    data, view = data_part(experiment), experiment.view
    data.pop("path")
    data.pop("frame_labels")  # a path, too
    probe = dataclasses.asdict(experiment.probe)
    shared: list[Any] = [data_fingerprint, data, probe]
    if isinstance(view, config.WindowViewConfig):
        shared.append(view.length)
    text = json.dumps(shared, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _ungated(data: config.DataConfig) -> config.DataConfig:
    return dataclasses.replace(data, max_bad=0, min_examples=1)
