"""What the modules see in training, as pictures for report and TensorBoard."""

import numpy as np
import tensorflow as tf

from gim_tf.config import PatchViewConfig, WindowViewConfig
from gim_tf.data import patches, views
from gim_tf.inspection import pictures

_SHOWN = 32


def training_pictures(
    view: PatchViewConfig | WindowViewConfig,
    grids: tf.Tensor,
    *,
    prediction_steps: int = 0,
    skip_steps: int = 0,
) -> dict[str, bytes]:
    """PNG files by name: views, and one view's patches with what is predicted.

    Args:
      view: the recipe that made the grids.
      grids: one training batch, [b, t, s, *local, c] float32.
      prediction_steps: of the objective; 0 if it predicts nothing.
      skip_steps: likewise.

    Returns:
      Nothing for windows of a recording.
    """
    if not isinstance(view, PatchViewConfig):
        return {}
    shown: np.ndarray = views.denormalise(grids, view).numpy()
    whole = patches.from_patches(shown, stride=view.patch_stride)
    return {
        "views": pictures.view_grid(whole[:_SHOWN]),
        "patches": pictures.patch_grid(
            whole[0],
            shown[0],
            stride=view.patch_stride,
            prediction_steps=prediction_steps,
            skip_steps=skip_steps,
        ),
    }
