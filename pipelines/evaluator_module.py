"""How the Evaluator loads a model that decodes FLAC: tensorflow-io first.

TFX imports this by name; Beam's workers load the model themselves.
"""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow_model_analysis as tfma

from gim_tf.data import flac

PATH = __name__


def custom_eval_shared_model(
    eval_saved_model_path: str,
    model_name: str,
    eval_config: tfma.EvalConfig,
    **kwargs: Any,
) -> tfma.types.EvalSharedModel:
    """TFMA's own, behind what the model's operations need."""
    shared = tfma.default_eval_shared_model(
        eval_saved_model_path=eval_saved_model_path,
        model_name=model_name,
        eval_config=eval_config,
        **kwargs,
    )
    loader = shared.model_loader
    loader.construct_fn = functools.partial(_loaded, loader.construct_fn)
    return shared


def _loaded(load: Callable[[], Any]) -> Any:
    flac.register_operations()
    return load()
