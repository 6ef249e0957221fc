"""Nothing public computes without a golden or a slow twin to answer to."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest

import gim_tf
from gim_tf import build
from gim_tf.fidelity.cases import read_cases
from gim_tf.fidelity.settings import experiment_of
from tests import reference

TESTS = Path(__file__).parent

# Class -> the function of tests/reference.py that says what it must compute.
TWINS = {
    "Adam": "adam",
    "DeepInfoMax": "deep_infomax",
    "GRUContext": "gru",
    "GatedMaskedConv": "masked_conv_context",
    "GridConv2D": "grid_conv",
    "InfoNCE": "info_nce",
    "MaskedConvContext": "masked_conv_context",
    "PaddedConv1D": "conv1d",
    "PaddedConv2D": "conv2d",
    "PermutedNegatives": "negative_candidates",
    "PredSim": "predsim",
    "SequenceNegatives": "negative_candidates",
    "ShiftedNegatives": "negative_candidates",
    "Supervised": "cross_entropy",
    "SupervisedFrames": "cross_entropy",
    "UniformNegatives": "negative_candidates",
}
KINDS = (keras.layers.Layer, keras.optimizers.Optimizer)
# What is given to it, it gives back: there is nothing to compute.
NOTHING_COMPUTED = {"RecordedNegatives"}


def public_classes():
    for found in pkgutil.walk_packages(gim_tf.__path__, "gim_tf."):
        if ".cli" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, kind in vars(module).items():
            is_ours = inspect.isclass(kind) and kind.__module__ == found.name
            if is_ours and issubclass(kind, KINDS) and name[0] != "_":
                yield kind


def in_goldens():
    """Names of the classes of which the small set's networks are made."""
    names = set()
    for case in read_cases(TESTS / "goldens"):
        stack = build.build_stack(experiment_of(case))
        names |= {type(layer).__name__ for layer in stack._flatten_layers()}
    return names


@pytest.mark.integration
def test_every_layer_and_objective_has_a_golden_or_a_twin():
    answered = in_goldens() | set(TWINS) | NOTHING_COMPUTED
    unanswered = [
        kind.__name__
        for kind in public_classes()
        if not inspect.isabstract(kind) and kind.__name__ not in answered
    ]
    assert not unanswered


@pytest.mark.parametrize(("name", "twin"), TWINS.items())
def test_every_twin_is_compared(name, twin):
    assert callable(getattr(reference, twin))
    assert name in {kind.__name__ for kind in public_classes()}
    others = set(TESTS.glob("test_*.py")) - {Path(__file__)}
    comparing = [
        path.name
        for path in others
        if f"reference.{twin}(" in (text := path.read_text())
        and (name in text or "SAMPLERS" in text)
    ]
    assert comparing, f"no test compares {name} with reference.{twin}"
