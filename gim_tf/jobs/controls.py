"""Scores of controls, kept so that runs on the same data share them.

What stands beside a trained encoder, raw input and the untrained network, is
the same whatever the training was. In a study each is probed once a seed.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gim_tf import config
from gim_tf.config import Experiment
from gim_tf.export.manifest import versions
from gim_tf.paths import AnyPath, as_path, write_whole

_LOG = logging.getLogger(__name__)

Scores = Mapping[str, Mapping[str, float | None]]
"""Accuracies by key, by name of the features."""


class Controls:
    """Finds or makes scores of controls of one experiment.

    Args:
      experiment: whose controls they are.
      files: TFRecord files of both splits; their content decides.
      directory: where they are kept; None: nothing is.
    """

    def __init__(
        self,
        experiment: Experiment,
        files: Sequence[str],
        directory: AnyPath | None = None,
    ) -> None:
        self._directory = None if directory is None else as_path(directory)
        self._experiment = experiment
        self._files = files

    def raw(self, name: str, make: Callable[[], Scores]) -> Scores:
        """Of features that no network makes: the data and probes decide."""
        return self._scores(name, {}, make)

    def untrained(self, name: str, make: Callable[[], Scores]) -> Scores:
        """Of the network before its first step: its layers decide, too."""
        stack = config.to_dict(self._experiment.stack)
        del stack["objective"]  # draws its weights apart from the layers
        if stack["autoregressor"] is None or stack["representation"] == "z":
            stack = {"encoder": stack["encoder"]}
        stack["sizes"] = list(self._experiment.probed_sizes)
        return self._scores(name, stack, make)

    def _scores(
        self, name: str, of: Mapping[str, Any], make: Callable[[], Scores]
    ) -> Scores:
        if self._directory is None:
            return make()
        path = self._directory / f"{name}-{self._digest(of)}.json"
        try:
            found: Scores = json.loads(path.read_text())
        except (OSError, ValueError):
            found = make()
            self._directory.mkdir(parents=True, exist_ok=True)
            text = json.dumps(found, indent=1) + "\n"
            write_whole(path, text, writer=f".{id(self)}")
        else:
            _LOG.info("Scores of the control %s are there already.", name)
        return found

    def _digest(self, of: Mapping[str, Any]) -> str:
        probe = config.to_dict(self._experiment.probe)
        probe.pop("module_sizes", None)  # are the sizes
        decisive = {
            "of": of,
            "view": config.to_dict(self._experiment.view),
            "probe": probe,
            "seed": self._experiment.training.seed,
            "versions": versions(),
        }
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
        for file in sorted(self._files):
            digest.update(as_path(file).read_bytes())
        return digest.hexdigest()[:16]
