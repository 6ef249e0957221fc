"""What a training run does before its first step, whatever its schedule."""

from collections.abc import Mapping
from typing import Any

from gim_tf import build, config
from gim_tf.config import Experiment
from gim_tf.data.input_pipeline import TrainingData, training_batches
from gim_tf.inspection import samples, tensorboard
from gim_tf.jobs.deciding import deciding, renewed
from gim_tf.paths import AnyPath
from gim_tf.training.loop import LoopSettings
from gim_tf.training.run_directory import RunDirectory


def bind(
    run: RunDirectory, experiment: Experiment, origin: Mapping[str, Any]
) -> None:
    """Records what decides the run, or compares it with what is recorded.

    Args:
      run: whose settings these are.
      experiment: decides.
      origin: of data and first weights, recorded beside it.

    Raises:
      CheckpointError: they differ; names the keys.
    """
    run.bind({**deciding(experiment), **origin}, renewed)


def show_inputs(
    run: RunDirectory,
    experiment: Experiment,
    data: TrainingData,
    tensorboard_dir: AnyPath,
) -> None:
    """Writes pictures of a first batch, and the settings for TensorBoard."""
    samples.write_training_samples(
        experiment,
        next(training_batches(data, 0)).x,
        directory=run.path / "pictures",
        tensorboard_dir=str(tensorboard_dir),
    )
    tensorboard.write_configuration(
        str(tensorboard_dir), config.to_dict(experiment)
    )


def loop_settings(
    experiment: Experiment, *, show_progress: bool = True
) -> LoopSettings:
    """How long, how often."""
    training = experiment.training
    return LoopSettings(
        phases=build.build_phases(experiment),
        log_every=training.log_every,
        checkpoint_every=training.checkpoint_every,
        show_progress=show_progress,
    )
