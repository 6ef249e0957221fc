"""Cuts a small set of golden cases out of a full one, for tests/goldens.

    python tools/make_golden_subset.py GOLDENS tests/goldens

Nothing is computed: cases lose arrays that say the same twice, the tails of
gradients and weights (their checksums stay), some their later steps, and some
their upper modules, which have no influence on the lower ones.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_HEAD = 16
"""Elements kept of each gradient and each updated weight."""

_LATER = ("step1", "step2", "after3", "grad_none/")


class Cut(NamedTuple):
    """What is left of a case: its steps, and its first modules (0: all)."""

    steps: int
    modules: int = 0


CUTS = {
    "vision_tiny_r50_gim": Cut(1),
    "vision_tiny_r50_gim_train_module1": Cut(3),
    "vision_tiny_r34_cpc": Cut(1),
    "audio_tiny_splits1": Cut(1),
    "audio_tiny_splits6_sampling_method0": Cut(1, modules=2),
    "audio_tiny_splits6_sampling_method2": Cut(1, modules=2),
}


def keeps(name: str, cut: Cut) -> bool:
    """Whether an array stays in the subset."""
    kind, _, rest = name.partition("/")
    aliased = rest.startswith(("encoder.", "autoregressor."))
    if kind == "weights" and (aliased or rest.endswith(".mask")):
        return False
    is_map = kind == "out" and rest.endswith("/z")
    if "forward_through" in rest or (is_map and not cut.modules):
        return False
    if cut.steps == 1 and any(later in name for later in _LATER):
        return False
    return not cut.modules or _module(name) < cut.modules


def says_nothing_new(name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether it is a checksum of what is kept whole, or is frozen."""
    kind, _, rest = name.partition("/")
    if kind.startswith("after3") and f"grad_none/{rest}" in arrays:
        return True
    whole = name.replace("_csum/", "/", 1)
    return whole != name and whole in arrays and arrays[whole].size <= _HEAD


def reduced(name: str, array: np.ndarray, cut: Cut) -> np.ndarray:
    """The array, as small as it can be."""
    if name.startswith(("grad/", "after3/")):
        return array.ravel()[:_HEAD] if array.size > _HEAD else array
    if name.startswith("rand/"):
        return array.astype(np.min_scalar_type(int(array.max())))
    if name.startswith("loss/") and cut.modules:
        return array[: cut.modules]
    return array


def entry(whole: dict[str, Any], cut: Cut, arrays: dict) -> dict[str, Any]:
    """The manifest's entry of the reduced case."""
    kept = dict(whole, steps=cut.steps)
    if cut.modules:
        weights = (a for n, a in arrays.items() if n.startswith("weights/"))
        kept["nparam"] = int(sum(a.size for a in weights))
    return {k: v for k, v in kept.items() if k not in ("mb", "loss_step0")}


def main(source: Path, target: Path) -> None:
    """Writes the subset and prints its size."""
    manifest = json.loads((source / "manifest.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    cases = {}
    for name, cut in CUTS.items():
        whole = manifest["cases"][name]
        with np.load(source / whole["file"]) as file:
            arrays = {
                key: reduced(key, file[key], cut)
                for key in file.files
                if keeps(key, cut) and not says_nothing_new(key, file)
            }
        np.savez_compressed(target / whole["file"], **arrays)
        cases[name] = entry(whole, cut, arrays)
    text = json.dumps({**manifest, "cases": cases}, indent=1)
    (target / "manifest.json").write_text(text + "\n")
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{len(cases)} cases, {size / 1e6:.2f} MB in {target}")


def _module(name: str) -> int:
    """0-based module of an array; -1: of none."""
    for part in name.split("/"):
        if part.startswith("module"):
            return int(part.removeprefix("module"))
        if part.startswith("fullmodel."):
            return int(part.split(".")[1])
    return -1


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
