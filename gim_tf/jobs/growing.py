"""The job `grow`: modules one after the other, until they help no more.

"Keep stacking until downstream performance saturates": a depth is a run of
its own, whose last module is trained on those of the depth before, frozen.
"""

import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf import config
from gim_tf.config import Experiment
from gim_tf.config.depth import at_depth, first_depth
from gim_tf.data import corpus
from gim_tf.data.records import record_files
from gim_tf.errors import ConfigError
from gim_tf.inspection import growth
from gim_tf.jobs.deciding import deciding, renewed
from gim_tf.jobs.exporting import export, restored
from gim_tf.jobs.growing_scores import score_last_module
from gim_tf.jobs.ingesting import ingest
from gim_tf.jobs.pretraining import pretrain
from gim_tf.paths import local_path
from gim_tf.stack import GIMStack
from gim_tf.training.run_directory import RunDirectory

_LOG = logging.getLogger(__name__)
_EVALUATIONS = 5  # of a module's held-out loss, where the experiment has none
_ROW = "depth.json"
EXPERIMENT = "experiment.json"


class Limits(NamedTuple):
    """When growing ends.

    Attributes:
      tolerance: accuracy in [0, 1] that a depth must add to the best before.
      max_modules: of the network; None: as many as help.
    """

    tolerance: float = 0.002
    max_modules: int | None = None


class Start(NamedTuple):
    """A finished run to grow on.

    Attributes:
      experiment: what was trained.
      directory: of the run, with its checkpoints in `training`.
    """

    experiment: Experiment
    directory: Path


def grow(
    experiment: Experiment,
    directory: str | Path,
    *,
    limits: Limits,
    start: Start | None = None,
) -> dict[str, Any]:
    """Trains, probes and stacks, and says which depth is best.

    Leaves `depth_1`, `depth_2`, ..., each a run directory with records,
    training, model and logs, and `growth.json`, `growth.md` and `growth.png`.
    Killed and called again it goes on where it was; with other limits it takes
    what is there and goes further.

    Args:
      experiment: its modules come first, see `gim_tf.config.depth.at_depth`;
        its schedule is that of the first depth.
      directory: created if missing.
      limits: see there.
      start: a run of the experiment's first modules; None: they are trained
        here.

    Returns:
      The content of `growth.json`.

    Raises:
      CheckpointError: the directory is in use or has other settings.
      ConfigError: the objective reads the labels that decide, or `start` is
        no beginning of the experiment.
    """
    if experiment.stack.objective.needs_labels:
        raise ConfigError(
            "The labels that decide how deep a network gets must not have "
            "trained it, and a supervised objective reads them. Choose "
            "another stack.objective.kind."
        )
    whole = local_path(directory)
    run = RunDirectory(whole)
    with run.locked():
        facts = ingest(experiment, whole / "records")
        experiment = _watched(
            config.completed(experiment, corpus.read_corpus(whole / "records")),
            facts["counts"][experiment.data.pretrain_split],
        )
        run.bind(
            {
                **deciding(experiment),
                "probe": config.to_dict(experiment.probe),
                "data_fingerprint": facts["fingerprint"],
                "start": _identity(start),
            },
            renewed,
        )
        grower = _Grower(experiment, whole, facts["fingerprint"], start)
        return _grown(grower, run, limits)


def _grown(
    grower: "_Grower", run: RunDirectory, limits: Limits
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    depth = grower.first
    while True:
        row = grower.depth(depth)
        rows.append(row)
        accuracies = [row["deciding_top1"] for row in rows]
        row["gain"] = growth.gain(accuracies)
        row["decision"] = grower.decision(row, limits)
        _LOG.info(
            "Depth %d: %.1f %% of the labels that decide; %s.",
            depth,
            100 * row["deciding_top1"],
            row["decision"],
        )
        best = growth.best(accuracies, limits.tolerance)
        found = {
            "experiment": grower.experiment.name,
            "seed": grower.experiment.training.seed,
            "task": row["task"],
            "tolerance": limits.tolerance,
            "max_modules": limits.max_modules,
            "depths": rows,
            "best_depth": rows[best]["depth"],
            "finished": row["decision"] != growth.GROW,
        }
        _write(run, found)
        if found["finished"]:
            return found
        depth += 1


def _write(run: RunDirectory, found: Mapping[str, Any]) -> None:
    run.write_json("growth.json", found)
    (run.path / "growth.md").write_text(growth.markdown(found))
    (run.path / "growth.png").write_bytes(growth.picture(found))


class _Grower:
    """Makes one depth after the other."""

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        fingerprint: str,
        start: Start | None,
    ) -> None:
        self.experiment = experiment
        self._directory = directory
        self._fingerprint = fingerprint
        self._start = start
        self.first = first_depth(experiment)
        if start is not None:
            self.first = start.experiment.stack.num_modules
            _check_start(experiment, start.experiment)

    def decision(self, row: Mapping[str, Any], limits: Limits) -> str:
        """What follows from a depth."""
        depth, gain = row["depth"], row["gain"]
        if gain is not None and gain < limits.tolerance:
            return growth.SATURATED
        most = limits.max_modules
        if most is not None and depth >= most:
            return growth.LIMIT
        try:
            at_depth(self.experiment, depth + 1)
        except ConfigError as error:
            _LOG.info("%s", error)
            return growth.EXHAUSTED
        return growth.GROW

    def depth(self, depth: int) -> dict[str, Any]:
        """Trains and scores a depth, or finds that this was done."""
        folder = self._directory / f"depth_{depth}"
        run = RunDirectory(folder)
        if (folder / _ROW).exists():
            return json.loads((folder / _ROW).read_text())
        experiment = self._at(depth)
        self._link_records(folder)
        section = (
            self._copied(folder)
            if depth == self.first and self._start is not None
            else self._trained(experiment, folder, depth)
        )
        run.write_json(EXPERIMENT, config.to_dict(experiment))
        export(experiment, folder / "training", folder / "model")
        scores = score_last_module(
            experiment,
            folder / "model",
            self._files(experiment.data.train_split),
            self._files(experiment.data.test_split),
        )
        stack, _ = restored(experiment, folder / "training")
        row = {
            "depth": depth,
            "directory": folder.name,
            **_counts(stack, depth - self.first),
            **_learned(section, stack.module_names[-1]),
            **scores._asdict(),
            "standard_error": scores.standard_error,
        }
        run.write_json(_ROW, row)
        return row

    def _trained(
        self, experiment: Experiment, directory: Path, depth: int
    ) -> dict[str, Any]:
        below = None
        if depth > self.first:
            before = self._directory / f"depth_{depth - 1}" / "training"
            below, _ = restored(self._at(depth - 1), before)
        return pretrain(
            experiment,
            self._files(experiment.data.pretrain_split),
            directory / "training",
            tensorboard_dir=directory / "tensorboard",
            data_fingerprint=self._fingerprint,
            below=below,
        )

    def _copied(self, directory: Path) -> dict[str, Any]:
        """Takes over the run that it starts from; whole or not at all."""
        training = directory / "training"
        if not training.exists() and self._start is not None:
            partial = directory / "training.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self._start.directory / "training", partial)
            partial.rename(training)
        return json.loads((training / "pretrain.json").read_text())

    def _at(self, depth: int) -> Experiment:
        if depth == self.first and self._start is not None:
            return self._start.experiment
        experiment = at_depth(self.experiment, depth)
        if depth == self.first:
            return experiment
        training = dataclasses.replace(experiment.training, schedule="last")
        return dataclasses.replace(experiment, training=training)

    def _link_records(self, directory: Path) -> None:
        records = directory / "records"
        if not records.is_symlink():
            records.symlink_to(os.path.join("..", "records"))

    def _files(self, split: str) -> Sequence[str]:
        return record_files(self._directory / "records", split)


def _watched(experiment: Experiment, num_examples: int) -> Experiment:
    """With held-out examples, also where the experiment has none."""
    training = experiment.training
    if training.heldout_every:
        return experiment
    tenth = max(num_examples // 10, training.batch_size)
    training = dataclasses.replace(
        training,
        heldout_every=max(training.num_steps // _EVALUATIONS, 1),
        heldout_examples=min(training.heldout_examples, tenth),
    )
    return dataclasses.replace(experiment, training=training)


def _check_start(experiment: Experiment, start: Experiment) -> None:
    expected = at_depth(experiment, start.stack.num_modules)
    for part in ("view", "stack"):
        changed = config.differing_keys(
            config.to_dict(getattr(start, part)),
            config.to_dict(getattr(expected, part)),
        )
        if changed:
            raise ConfigError(
                f"The run to start from is no beginning of {experiment.name}: "
                f"{part}.{changed[0]} differs. Name the experiment that it is "
                "of, with the same --set."
            )


def _identity(start: Start | None) -> dict[str, Any] | None:
    return None if start is None else deciding(start.experiment)


def _counts(stack: GIMStack, num_frozen: int) -> dict[str, int]:
    """Weights of the exported network, and those that this depth trained."""
    encoding = [v for m in stack.gim_modules for v in m.encoding_variables]
    trained = stack.gim_modules[-1:] if num_frozen else stack.gim_modules
    own = [v for module in trained for v in module.trainable_variables]
    return {
        name: sum(int(v.value.shape.num_elements()) for v in variables)
        for name, variables in (
            ("parameters", encoding),
            ("trained_parameters", own),
        )
    }


def _learned(section: Mapping[str, Any], module: str) -> dict[str, Any]:
    """What pretraining tells of this depth's module."""
    newest = section["modules"][module]
    return {
        "steps": section["steps"],
        "seconds": section.get("seconds"),
        "stopped": section.get("stopped", {}),
        **{
            key: newest.get(key)
            for key in ("loss", "heldout_loss", "chance_loss")
        },
    }
