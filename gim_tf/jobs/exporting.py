"""The job `export`: from a run directory to a SavedModel."""

import itertools
from typing import Any, NamedTuple

from gim_tf import build, config
from gim_tf.config import Experiment, WindowViewConfig
from gim_tf.errors import CheckpointError
from gim_tf.export.inputs import Servable
from gim_tf.export.saved_model import save_encoder
from gim_tf.export.sequences import SequenceEncoder
from gim_tf.export.signatures import Encoder
from gim_tf.paths import AnyPath
from gim_tf.stack import GIMStack, divided
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.run_directory import RunDirectory
from gim_tf.training.schedules import total_steps, with_stops


class _Exported(NamedTuple):
    encoder: Servable
    facts: dict[str, Any]


def export(
    experiment: Experiment,
    run_dir: AnyPath,
    model_dir: AnyPath,
) -> None:
    """Writes the encoder of a run's last checkpoint as a SavedModel.

    Args:
      experiment: what was trained, and by `probed_sizes` what is exported.
      run_dir: of the run.
      model_dir: replaced if it exists.

    Raises:
      CheckpointError: see `restored`.
      ExportError: the SavedModel could not be written.
    """
    trained, step = restored(experiment, run_dir)
    stack = divided(trained, experiment.probed_sizes)
    view = experiment.view
    encoder, facts = (
        _of_sequences(experiment, stack, view.sample_rate)
        if isinstance(view, WindowViewConfig)
        else _of_examples(experiment, stack)
    )
    run = RunDirectory(run_dir)
    facts |= {
        "experiment": config.to_dict(experiment),
        "step": step,
        "data_fingerprint": run.config()["data_fingerprint"],
    }
    if imported := run.imported():
        facts["imported"] = imported
    save_encoder(encoder, model_dir, facts)


def restored(experiment: Experiment, run_dir: AnyPath) -> tuple[GIMStack, int]:
    """The stack as a run left it, and the run's last step.

    Raises:
      CheckpointError: the last step's checkpoint is missing or damaged: an
        earlier one is good for going on, not for serving.
    """
    stack = build.build_stack(experiment)
    trainer = build.build_trainer(experiment, stack)
    stopping = build.build_stopping(experiment, stack)
    checkpoints = RunCheckpoints(run_dir, trainer, stopping=stopping)
    step = checkpoints.restore_latest()
    phases = build.build_phases(experiment)
    if stopping is not None:
        phases = with_stops(phases, stopping.stopped_at())
    end = total_steps(phases)
    if step != end:
        raise CheckpointError(
            f"{run_dir} has no readable checkpoint of its last step, {end} "
            f"(the newest is of step {step}); run `gim pretrain` to the end."
        )
    return stack, step


def _of_examples(experiment: Experiment, stack: GIMStack) -> _Exported:
    preprocess = build.build_preprocess(experiment)
    encoder = Encoder(
        stack,
        decode=preprocess.decode,
        to_grid=preprocess.to_grid,
        example_shape=preprocess.example_shape,
    )
    return _Exported(encoder, {})


def _of_sequences(
    experiment: Experiment, stack: GIMStack, sample_rate: int
) -> _Exported:
    preprocess = build.build_preprocess(experiment)
    frames = build.build_frames(experiment, stack)
    hop, first = build.frame_grid(experiment)
    least = _min_samples(experiment)
    encoder = SequenceEncoder(
        stack,
        decode=preprocess.decode,
        frames=lambda samples: frames(preprocess.to_grid(samples)),
        min_samples=least,
    )
    grid = {
        "hop": hop,
        "first": first,
        "sample_rate": sample_rate,
        "min_samples": least,
    }
    return _Exported(encoder, {"frames": grid})


def _min_samples(experiment: Experiment) -> int:
    """The least length of which every block makes a frame."""
    encoder = experiment.stack.encoder
    # Padding alone can make a frame of none: each block is looked at.
    depths = range(1, encoder.num_blocks + 1)
    return next(
        length
        for length in itertools.count(1)
        if all(encoder.time_steps(length, blocks) > 0 for blocks in depths)
    )
