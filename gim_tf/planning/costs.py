"""What each module of a network costs, measured or given."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gim_tf.errors import ConfigError

# Weights, gradients and Adam's two moments, of the parameters' own size.
COPIES = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModuleCost:
    """One module on one worker, for a batch of `Costs.batch_size` examples.

    Attributes:
      forward_s: seconds to encode.
      backward_s: seconds of all else: loss, gradients, update.
      output_bytes: of z, the next module's input.
      kept_bytes: of activations kept from the forward pass for the backward.
      parameter_bytes: of the weights.
    """

    forward_s: float
    backward_s: float
    output_bytes: float
    kept_bytes: float
    parameter_bytes: float

    @property
    def step_s(self) -> float:
        """Seconds of a whole update."""
        return self.forward_s + self.backward_s


@dataclasses.dataclass(frozen=True, kw_only=True)
class Costs:
    """A network.

    Attributes:
      batch_size: examples that the costs are of; others are proportional.
      modules: first to last.
    """

    batch_size: int
    modules: tuple[ModuleCost, ...]

    def deepened(self, depth: int) -> "Costs":
        """The network whose last module stands again until there are `depth`.

        Raises:
          ConfigError: it has more already.
        """
        if depth < len(self.modules):
            raise ConfigError(
                f"--depth must be at least {len(self.modules)}, the modules "
                f"that the costs are of, received {depth}."
            )
        more = (self.modules[-1],) * (depth - len(self.modules))
        return dataclasses.replace(self, modules=self.modules + more)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` reads it."""
        return dataclasses.asdict(self)


def from_dict(content: Mapping[str, Any]) -> Costs:
    """Costs of a JSON object; keys that are not known are passed over.

    Raises:
      ConfigError: one is missing, no number, or out of range.
    """
    try:
        modules = tuple(_module(values) for values in content["modules"])
        batch_size = int(content["batch_size"])
    except (KeyError, TypeError, ValueError) as error:
        names = [field.name for field in dataclasses.fields(ModuleCost)]
        raise ConfigError(
            "Costs must be JSON with batch_size and modules, a list of "
            f"objects with {', '.join(names)}; received one without "
            f"({error!r}). `gim plan --experiment NAME --save-costs FILE` "
            "writes one."
        ) from error
    if batch_size < 1 or not modules:
        raise ConfigError(
            "Costs need a batch_size and modules of 1 or more, received "
            f"{batch_size} and {len(modules)}."
        )
    return Costs(batch_size=batch_size, modules=modules)


def read_costs(path: Path) -> Costs:
    """Costs of a JSON file.

    Raises:
      ConfigError: it cannot be read; see `from_dict`.
    """
    try:
        return from_dict(json.loads(path.read_text()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(
            f"Cannot read costs from {path}: {error}. Give a JSON file, such "
            "as --save-costs writes."
        ) from error


def grouped(
    modules: Sequence[ModuleCost], groups: int
) -> list[Sequence[ModuleCost]]:
    """Consecutive groups whose slowest has the least seconds that are possible.

    The linear partition problem, by bisection on the slowest group's time.

    Args:
      modules: first to last.
      groups: from 1 to the number of modules.
    """
    low = max(module.step_s for module in modules)
    high = math.fsum(module.step_s for module in modules)
    for _ in range(60):
        middle = (low + high) / 2
        if len(_packed(modules, middle)) <= groups:
            high = middle
        else:
            low = middle
    return _split(_packed(modules, high), groups)


def total(modules: Sequence[ModuleCost], name: str) -> float:
    """Sum over modules of one of their attributes."""
    return math.fsum(getattr(module, name) for module in modules)


def _module(values: Mapping[str, Any]) -> ModuleCost:
    names = [field.name for field in dataclasses.fields(ModuleCost)]
    found = {name: float(values[name]) for name in names}
    for name, value in found.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} {value}")
    if found["forward_s"] + found["backward_s"] <= 0:
        raise ValueError("no seconds")
    return ModuleCost(**found)


def _packed(
    modules: Sequence[ModuleCost], limit: float
) -> list[list[ModuleCost]]:
    """As few groups as possible, none slower than the limit."""
    groups: list[list[ModuleCost]] = []
    left = -1.0
    for module in modules:
        if module.step_s > left:
            groups.append([])
            left = limit * (1 + 1e-12)
        groups[-1].append(module)
        left -= module.step_s
    return groups


def _split(
    groups: list[list[ModuleCost]], count: int
) -> list[Sequence[ModuleCost]]:
    """As many groups as wanted: the slowest that can be is cut in two."""
    groups = list(groups)
    while len(groups) < count:
        index = max(
            (i for i, group in enumerate(groups) if len(group) > 1),
            key=lambda i: total(groups[i], "step_s"),
        )
        first, second = grouped(groups[index], 2)
        groups[index : index + 1] = [list(first), list(second)]
    return list(groups)
