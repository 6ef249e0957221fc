"""The jobs `import-weights` and `export-weights`: the authors' own names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gim_tf import build
from gim_tf.config import Experiment
from gim_tf.errors import CheckpointError, disk_error
from gim_tf.export.manifest import file_sha256
from gim_tf.interop import from_authors, read_weights, to_authors
from gim_tf.jobs.deciding import deciding
from gim_tf.jobs.exporting import restored
from gim_tf.jobs.ingesting import ingest
from gim_tf.paths import local_path
from gim_tf.stack import GIMStack
from gim_tf.training.checkpoints import RunCheckpoints
from gim_tf.training.run_directory import CONFIG, IMPORTED, RunDirectory
from gim_tf.training.schedules import total_steps


def import_weights(
    experiment: Experiment,
    files: Sequence[str | Path],
    run_dir: str | Path,
    *,
    records_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Leaves a run directory as if pretraining had ended with these weights.

    Optimizers are as new, the history is empty, and `imported.json` says
    where the weights came from. The same weights may be imported again, under
    other settings.

    Args:
      experiment: of the network that the weights are of.
      files: see `gim_tf.interop.read_weights`.
      run_dir: without checkpoints, but for those of the same import.
      records_dir: where to ingest the data that probes will read, if any.

    Returns:
      The "pretrain" section of summary.json.

    Raises:
      CheckpointError: the directory is in use, holds other weights, or
        cannot be written.
      DataError: see `ingest`.
      WeightsError: a file cannot be read, or is of another network.
    """
    stack = build.build_stack(experiment)
    from_authors(stack, read_weights(files))
    origin = {
        "files": [
            {"name": Path(file).name, "sha256": file_sha256(Path(file))}
            for file in files
        ]
    }
    run = RunDirectory(run_dir)
    with run.locked():
        trainer = build.build_trainer(experiment, stack)
        stopping = build.build_stopping(experiment, stack)
        checkpoints = RunCheckpoints(run.path, trainer, stopping=stopping)
        if checkpoints.steps() and run.imported() != origin:
            raise CheckpointError(
                f"{run.path} already holds checkpoints of other weights; "
                "choose another directory."
            )
        if records_dir is not None:
            ingest(experiment, records_dir)
        # What they were trained on is not known: not on these data, at least.
        run.write_json(CONFIG, {**deciding(experiment), "data_fingerprint": ""})
        run.write_json(IMPORTED, origin)
        run.rewind_history(0)
        step = total_steps(build.build_phases(experiment))
        checkpoints.save(step)
        section = {
            "steps": step,
            "imported": origin,
            "modules": _chance_losses(stack),
            "alarms": [],
        }
        run.write_json("pretrain.json", section)
    return section


def export_weights(
    experiment: Experiment, run_dir: str | Path, output: str | Path
) -> int:
    """Writes a run's last weights as .npz, under the authors' names.

    Returns:
      How many arrays it holds.

    Raises:
      CheckpointError: the last step's checkpoint is missing or damaged.
      DataError: the file cannot be written.
      WeightsError: the authors' code has no such network.
    """
    stack, _ = restored(experiment, run_dir)
    arrays = to_authors(stack)
    output = local_path(output)
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise disk_error(error, output.parent) or error from error
    return len(arrays)


def _chance_losses(stack: GIMStack) -> dict[str, dict[str, float]]:
    return {
        name: {"chance_loss": module.objective.chance_loss}
        for name, module in zip(
            stack.module_names, stack.gim_modules, strict=True
        )
    }
