"""Greedy InfoMax for TensorFlow: gradient-isolated self-supervised learning.

The public names below are imported on first use, so that descriptions and
listings need no TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "BatchApply": "gim_tf.shapes",
    "Chain": "gim_tf.module",
    "DeepInfoMax": "gim_tf.losses",
    "GIMModule": "gim_tf.module",
    "GIMStack": "gim_tf.stack",
    "GIMTrainer": "gim_tf.training.trainer",
    "InfoNCE": "gim_tf.losses",
    "Objective": "gim_tf.losses",
    "ObjectiveOutput": "gim_tf.losses",
    "PredSim": "gim_tf.losses",
    "Supervised": "gim_tf.losses",
    "conv2d_blocks": "gim_tf.encoders",
    "partition": "gim_tf.stack",
    "resnet_blocks": "gim_tf.encoders",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
