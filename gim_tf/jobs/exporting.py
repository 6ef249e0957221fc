"""The job `export`: from a run directory to a SavedModel."""

from pathlib import Path

from gim_tf import build, config
from gim_tf.config import Experiment
from gim_tf.errors import CheckpointError
from gim_tf.export.saved_model import save_encoder
from gim_tf.export.signatures import Encoder
from gim_tf.training.checkpoints import RunCheckpoints


def export(
    experiment: Experiment, run_dir: str | Path, model_dir: str | Path
) -> None:
    """Writes the encoder of a run's newest checkpoint as a SavedModel.

    Raises:
      CheckpointError: the run has no readable checkpoint.
      ExportError: the SavedModel could not be written.
    """
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    step = RunCheckpoints(run_dir, trainer).restore_latest()
    if not step:
        raise CheckpointError(
            f"{run_dir} holds no checkpoint; run `gim pretrain` first."
        )
    preprocess = build.build_preprocess(experiment)
    encoder = Encoder(
        stack,
        decode=preprocess.decode,
        to_grid=preprocess.to_grid,
        example_shape=preprocess.example_shape,
    )
    facts = {"experiment": config.to_dict(experiment), "step": step}
    save_encoder(encoder, model_dir, facts)
