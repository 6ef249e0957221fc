"""Reads curves and module names out of a run's plain dictionaries."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_PREFIX = "module_"


class Curve(NamedTuple):
    """Values of one module over training; NaN where a line has no number."""

    steps: list[int]
    values: list[float]


def module_names(keys: Iterable[str]) -> list[str]:
    """The keys "module_1".."module_M" among `keys`, by depth."""
    names = [k for k in keys if k.startswith(_PREFIX) and _is_number(k)]
    return sorted(names, key=module_number)


def module_number(name: str) -> int:
    """The depth of "module_3" is 3."""
    return int(name[len(_PREFIX) :])


def module_title(name: str) -> str:
    """The name for people: "module 3"."""
    return f"module {module_number(name)}"


def history_modules(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Modules that any line of the history speaks of, by depth."""
    return module_names({key for line in history for key in line})


def curve(
    history: Sequence[Mapping[str, Any]], module: str, quantity: str
) -> Curve:
    """One quantity of one module; lines without that module are left out."""
    lines = [line for line in history if quantity in line.get(module, {})]
    return Curve(
        steps=[int(line["step"]) for line in lines],
        values=[as_float(line[module][quantity]) for line in lines],
    )


def last_value(
    history: Sequence[Mapping[str, Any]], module: str, quantity: str
) -> Any:
    """The newest value of a quantity, None where there is none."""
    for line in reversed(history):
        if line.get(module, {}).get(quantity) is not None:
            return line[module][quantity]
    return None


def as_float(value: Any) -> float:
    """The number, or NaN for None and for what is no number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan


def _is_number(name: str) -> bool:
    return name[len(_PREFIX) :].isdecimal()
