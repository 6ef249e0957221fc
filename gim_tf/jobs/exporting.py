"""The job `export`: from a run directory to a SavedModel."""

from pathlib import Path

from gim_tf import build, config
from gim_tf.config import Experiment
from gim_tf.errors import CheckpointError
from gim_tf.export.saved_model import save_encoder
from gim_tf.export.signatures import Encoder
from gim_tf.stack import GIMStack
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import total_steps


def export(
    experiment: Experiment, run_dir: str | Path, model_dir: str | Path
) -> None:
    """Writes the encoder of a run's last checkpoint as a SavedModel.

    Raises:
      CheckpointError: see `restored`.
      ExportError: the SavedModel could not be written.
    """
    stack, step = restored(experiment, run_dir)
    preprocess = build.build_preprocess(experiment)
    encoder = Encoder(
        stack,
        decode=preprocess.decode,
        to_grid=preprocess.to_grid,
        example_shape=preprocess.example_shape,
    )
    run = RunDirectory(run_dir)
    facts = {
        "experiment": config.to_dict(experiment),
        "step": step,
        "data_fingerprint": run.config()["data_fingerprint"],
    }
    if imported := run.imported():
        facts["imported"] = imported
    save_encoder(encoder, model_dir, facts)


def restored(
    experiment: Experiment, run_dir: str | Path
) -> tuple[GIMStack, int]:
    """The stack as a run left it, and the run's last step.

    Raises:
      CheckpointError: the last step's checkpoint is missing or damaged: an
        earlier one is good for going on, not for serving.
    """
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    step = RunCheckpoints(run_dir, trainer).restore_latest()
    end = total_steps(build.build_phases(experiment))
    if step != end:
        raise CheckpointError(
            f"{run_dir} has no readable checkpoint of its last step, {end} "
            f"(the newest is of step {step}); run `gim pretrain` to the end."
        )
    return stack, step
