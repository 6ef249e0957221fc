"""TensorBoard scalars of training, module by module on shared charts.

One run a module (`module_1`, ...) and one for the guess (`chance`), all with
the same tags, so that TensorBoard draws their curves over each other:

    loss, accuracy             mean since the last line; `chance` has both,
                               and so has `module_1_heldout`, of examples
                               that are never trained on
    accuracy_step_1 .. _K      contrastive accuracy of each prediction step
    gradient_norm              global norm of the module's gradients
    feature_std, spread        see `gim_tf.training.monitors`
    effective_rank
    examples_per_second        in the run `chance`
    data_wait                  likewise: share of time without a batch
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from gim_tf.losses import Objective
from gim_tf.paths import AnyPath, as_path
from gim_tf.training import heldout

CHANCE = "chance"
HELDOUT, SEEN = "{module}_heldout", "{module}_seen"
_EVALUATED = {
    HELDOUT: {heldout.LOSS: "loss", heldout.ACCURACY: "accuracy"},
    SEEN: {heldout.SEEN_LOSS: "loss", heldout.SEEN_ACCURACY: "accuracy"},
}


class ScalarWriter:
    """Writes log lines of `gim_tf.training.loop` as TensorBoard scalars.

    Args:
      directory: one subdirectory a run is made in it.
      objectives: module name -> objective, for the line of a guess, which is
        written with that of "module_1".
    """

    def __init__(
        self, directory: AnyPath, objectives: Mapping[str, Objective]
    ) -> None:
        self._objectives = dict(objectives)
        self._directory = as_path(directory)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        # Of several workers the one with the first module writes it.
        self._writes_chance = "module_1" in objectives
        for run in (*objectives, *([CHANCE] if self._writes_chance else [])):
            self._open(run)

    def write(self, line: Mapping[str, Any]) -> None:
        """Writes one log line."""
        step = line["step"]
        for name in self._objectives:
            if name in line:
                self._write(name, _scalars(line[name]), step)
                for run, tags in _EVALUATED.items():
                    found = {
                        tag: line[name][key]
                        for key, tag in tags.items()
                        if key in line[name]
                    }
                    if found:
                        self._write(run.format(module=name), found, step)
        if not self._writes_chance:
            return
        guess = next(iter(self._objectives.values()))
        self._write(
            CHANCE,
            {
                "loss": guess.chance_loss,
                "accuracy": guess.chance_accuracy,
                "examples_per_second": line["examples_per_second"],
                "data_wait": line["data_wait"],
            },
            step,
        )

    def close(self) -> None:
        """Flushes and closes all files."""
        for writer in self._writers.values():
            writer.close()

    def _open(self, run: str) -> Any:
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(
                str(self._directory / run)
            )
        return self._writers[run]

    def _write(self, run: str, scalars: Mapping[str, float], step: int) -> None:
        with self._open(run).as_default():
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value, step)
        self._writers[run].flush()


def _scalars(values: Mapping[str, Any]) -> dict[str, float]:
    elsewhere = {"per_step", *heldout.KEYS}
    scalars = {k: v for k, v in values.items() if k not in elsewhere}
    for index, value in enumerate(values.get("per_step", ()), 1):
        scalars[f"accuracy_step_{index}"] = value
    return scalars
