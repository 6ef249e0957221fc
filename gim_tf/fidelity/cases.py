"""Golden cases: what the authors' implementation computed, as arrays.

A directory of cases has a `manifest.json` (seed, and per case the options of
the authors' code, the parameter count, the scale of W_k and, for full-size
models, the recipe of the weights) and one `.npz` a case. Seeds, widths, batch
sizes and scales are read from there, never assumed.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gim_tf.errors import GoldenError

# The case numbers of the sets' README; inputs of full-size cases are drawn
# from RandomState(seed of the set + number + step).
_NUMBERS = {
    "vision_tiny_r34_gim": 10,
    "vision_tiny_r34_gim_train_module0": 20,
    "vision_tiny_r34_gim_train_module1": 30,
    "vision_tiny_r34_cpc": 40,
    "vision_tiny_r50_gim": 50,
    "vision_tiny_r50_gim_train_module0": 60,
    "vision_tiny_r50_gim_train_module1": 70,
    "vision_tiny_r50_cpc": 80,
    "audio_tiny_splits6": 90,
    "audio_tiny_splits1": 100,
    "audio_tiny_splits5": 110,
    "audio_tiny_splits6_sampling_method0": 120,
    "audio_tiny_splits6_sampling_method2": 130,
    "audio_tiny_splits6_subsampleFalse": 140,
    "audio_tiny_splits1_remove_BPTTTrue": 150,
    "audio_tiny_splits6_use_autoregressiveTrue": 160,
    "vision_full_r34_gim": 170,
    "vision_full_r34_cpc": 180,
    "vision_full_r50_gim": 190,
    "vision_full_r50_cpc": 200,
    "audio_full_splits6": 210,
    "audio_full_splits1": 220,
}
_SIDE, _SAMPLES = 64, 20_480
_STEPS = 3
_MODULE = re.compile(r"(?:model\.0|fullmodel)\.(\d+)\.")
_FIRST = "model.0.0.model.Conv1.weight"  # where there are patches


class Case(NamedTuple):
    """One case.

    Attributes:
      name: its key in the manifest.
      set_seed: seed of the set.
      entry: its value in the manifest.
      arrays: by name, read on demand.
    """

    name: str
    set_seed: int
    entry: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @property
    def options(self) -> Mapping[str, str]:
        """The options of the authors' command line."""
        return self.entry["opt"]

    @property
    def has_patches(self) -> bool:
        """Whether the grid is one of patches; else it is one of samples."""
        return _FIRST in self.shapes()

    @property
    def steps(self) -> int:
        """Optimizer steps that the case holds; a reduced one only the first."""
        return int(self.entry.get("steps", _STEPS))

    @property
    def is_whole(self) -> bool:
        """Whether it goes on to the weights after the last step."""
        return self.steps == _STEPS

    @property
    def modules(self) -> int:
        """Number of modules, by the names of the weights."""
        numbers = (_MODULE.match(name) for name in self.shapes())
        return len({found[1] for found in numbers if found})

    @property
    def trained_module(self) -> int | None:
        """0-based index of the only module that is trained; None: all."""
        chosen = int(self.options.get("train_module", self.modules))
        return chosen if chosen < self.modules else None

    def input(self, step: int) -> np.ndarray:
        """The grid's source of a step: [b, h, w, c] or [b, n]."""
        name = f"input/step{step}"
        x = self.arrays[name] if name in self.arrays else self._drawn(step)
        return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x[:, 0]

    def _drawn(self, step: int) -> np.ndarray:
        if self.name not in _NUMBERS:
            raise GoldenError(
                f"{self.name}: no input/step{step}, and no number by which to "
                "draw it."
            )
        batch = int(self.options["batch_size"])
        seed = self.set_seed + _NUMBERS[self.name] + step
        state = np.random.RandomState(seed)
        if self.has_patches:
            channels = self.shapes()[_FIRST][1]
            x = state.standard_normal((batch, channels, _SIDE, _SIDE))
        else:
            x = 0.1 * state.standard_normal((batch, 1, _SAMPLES))
        return x.astype(np.float32)

    def weights(self) -> dict[str, np.ndarray]:
        """Initial weights by the authors' names, W_k not yet scaled if drawn.

        Stored ones are complete; those of a recipe lack buffers and aliases.
        """
        recipe = self.entry["recipe"]
        if not recipe:
            return _below(self.arrays, "weights/")
        return {
            name: np.random.RandomState(one["seed"])
            .uniform(-one["bound"], one["bound"], one["shape"])
            .astype(np.float32)
            for name, one in recipe.items()
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter by the authors' names."""
        recipe = self.entry["recipe"]
        if recipe:
            return {name: tuple(one["shape"]) for name, one in recipe.items()}
        return {
            name: array.shape
            for name, array in _below(self.arrays, "weights/").items()
        }


def read_cases(directory: Path) -> list[Case]:
    """All cases of a directory, in the manifest's order.

    Raises:
      GoldenError: no manifest, or one that cannot be read or has no case.
    """
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        cases = [
            Case(
                name,
                int(manifest["seed"]),
                entry,
                _Arrays(directory / entry["file"]),
            )
            for name, entry in manifest["cases"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GoldenError(f"{path} is no manifest: {error!r}.") from error
    if not cases:
        raise GoldenError(f"{path} names no case.")
    return cases


class _Arrays(Mapping[str, np.ndarray]):
    """The arrays of a file, opened at first use, each read when asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def __getitem__(self, name: str) -> np.ndarray:
        return self._open()[name]

    def __iter__(self) -> Any:
        return iter(self._open().files)

    def __len__(self) -> int:
        return len(self._open().files)

    def __contains__(self, name: object) -> bool:
        return name in self._open().files

    def _open(self) -> Any:
        if self._file is None:
            try:
                self._file = np.load(self._path, allow_pickle=False)
            except (OSError, ValueError, zipfile.BadZipFile) as error:
                raise GoldenError(
                    f"{self._path} cannot be read: {error}."
                ) from error
        return self._file


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): arrays[name]
        for name in arrays
        if name.startswith(prefix)
    }
