"""What the modules see in training, for report and TensorBoard."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from gim_tf.config import (
    Conv1DConfig,
    Experiment,
    InfoNCEConfig,
    PatchViewConfig,
    StackConfig,
    WindowViewConfig,
)
from gim_tf.data import patches, views, windows
from gim_tf.data.alignments import FIELD
from gim_tf.errors import DataError
from gim_tf.inspection import pictures, spectrograms, tensorboard
from gim_tf.inspection.spectrograms import Horizon, Strip
from gim_tf.paths import Place

_SHOWN_VIEWS = 32
_SHOWN_WINDOWS = 8
_HEARD_WINDOWS = 4


def write_training_samples(
    experiment: Experiment,
    grids: tf.Tensor,
    *,
    directory: Place,
    tensorboard_dir: str,
) -> None:
    """Writes what can be seen and heard of one training batch.

    Args:
      experiment: decides what the grids are.
      grids: one training batch, [b, t, s, *local, c] float32.
      directory: for `NAME.png` of each picture; made if missing.
      tensorboard_dir: log directory for the same, and for recordings.
    """
    shown = training_pictures(experiment, grids)
    directory.mkdir(exist_ok=True)
    for name, png in shown.items():
        (directory / f"{name}.png").write_bytes(png)
    tensorboard.write_pictures(tensorboard_dir, shown)
    view = experiment.view
    if isinstance(view, WindowViewConfig):
        heard = {
            f"window_{number}": window
            for number, window in enumerate(
                _recordings(grids[:_HEARD_WINDOWS], view), start=1
            )
        }
        tensorboard.write_audio(tensorboard_dir, heard, view.sample_rate)


def training_pictures(
    experiment: Experiment, grids: tf.Tensor
) -> dict[str, bytes]:
    """PNG files by name: views, and one view with what is predicted.

    Args:
      experiment: decides what the grids are.
      grids: one training batch, [b, t, s, *local, c] float32.

    Returns:
      "views" and "patches" of pictures, "spectrograms" and "window" of
      recordings; nothing of windows too short for a spectrum.
    """
    view = experiment.view
    if isinstance(view, PatchViewConfig):
        return _patch_pictures(view, grids, experiment.stack)
    if view.length < FIELD:
        return {}
    shown = _recordings(grids[:_SHOWN_WINDOWS], view)
    return {
        "spectrograms": spectrograms.spectrogram_grid(
            shown, sample_rate=view.sample_rate
        ),
        "window": sequence_picture(experiment, shown[0]),
    }


def sequence_picture(
    experiment: Experiment,
    samples: np.ndarray,
    *,
    strips: Sequence[Strip] = (),
    names: Sequence[str] = (),
) -> bytes:
    """One recording, its labels, and what the last module predicts: a PNG.

    Args:
      experiment: whose view is a window.
      samples: [n] in [-1, 1], as `windows.decode` gives them.
      strips: rows of frame labels.
      names: one a label; none: its number is its name.

    Raises:
      DataError: the experiment is not about recordings, or the recording is
        too short.
    """
    if not isinstance(experiment.view, WindowViewConfig):
        raise DataError(
            f"Expected views of kind 'window', received "
            f"{experiment.view.kind!r}: there is no sound to show."
        )
    return spectrograms.utterance_picture(
        samples,
        sample_rate=experiment.view.sample_rate,
        strips=strips,
        names=names,
        horizon=_horizon(experiment.stack),
    )


def _patch_pictures(
    view: PatchViewConfig, grids: tf.Tensor, stack: StackConfig
) -> dict[str, bytes]:
    shown: np.ndarray = views.denormalise(grids, view).numpy()
    whole = patches.from_patches(shown, stride=view.patch_stride)
    return {
        "views": pictures.view_grid(whole[:_SHOWN_VIEWS]),
        "patches": pictures.patch_grid(
            whole[0],
            shown[0],
            stride=view.patch_stride,
            prediction_steps=getattr(stack.objective, "prediction_steps", 0),
            skip_steps=getattr(stack.objective, "skip_steps", 0),
        ),
    }


def _recordings(grids: tf.Tensor, view: WindowViewConfig) -> np.ndarray:
    """Grids [b, n, 1, 1] as they were recorded: [b, n] in [-1, 1]."""
    return np.asarray(windows.denormalise(grids[:, :, 0, 0], view))


def _horizon(stack: StackConfig) -> Horizon | None:
    """What the last module predicts; None if it predicts no frames."""
    encoder, objective = stack.encoder, stack.objective
    if not isinstance(objective, InfoNCEConfig) or not isinstance(
        encoder, Conv1DConfig
    ):
        return None
    blocks = sum(stack.module_sizes)
    return Horizon(
        hop=encoder.hop(blocks),
        first=encoder.centre(blocks),
        prediction_steps=objective.prediction_steps,
        skip_steps=objective.skip_steps,
    )
