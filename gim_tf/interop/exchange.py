"""Their state_dict as NumPy arrays: read into a stack, or written from one."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from gim_tf.errors import WeightsError
from gim_tf.interop.entries import Entry
from gim_tf.interop.names import aliases, entries
from gim_tf.stack import GIMStack

_PARALLEL = "module."
"""What their multi-GPU wrapper, always on, puts before every name."""

_SHOWN = 4


class ParameterCount(NamedTuple):
    """Numbers of trainable parameters.

    Attributes:
      ours: of the stack.
      masked: of theirs, kept at zero by a mask; ours does not have them.
      unused: of theirs, in arrays that their code never uses.
      authors: of their model, the sum of the others.
    """

    ours: int
    masked: int
    unused: int
    authors: int


def parameter_count(stack: GIMStack) -> ParameterCount:
    """Parameters of the stack, and of their model of the same network."""
    found = [entry for entry in entries(stack) if entry.constant is None]
    return ParameterCount(
        ours=sum(int(np.prod(v.shape)) for v in stack.trainable_variables),
        masked=sum(entry.hidden for entry in found),
        unused=sum(entry.size for entry in found if entry.variable is None),
        authors=sum(entry.size for entry in found),
    )


def to_authors(stack: GIMStack) -> dict[str, np.ndarray]:
    """Their complete state_dict, for `load_state_dict(strict=True)`.

    Also holds the arrays that their code never uses (zeros), the masks, and
    the second names (the same array objects).
    """
    arrays = {entry.name: _theirs(entry) for entry in entries(stack)}
    second = {alias: arrays[name] for alias, name in aliases(stack).items()}
    return {**arrays, **second}


def from_authors(stack: GIMStack, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets all variables of the stack from their arrays, or none.

    Args:
      stack: built; its layers decide which names are expected.
      arrays: by name. May be left out: of an array that has two names either
        one, masks, and what their code never uses. All names may begin with
        "module.".

    Raises:
      WeightsError: arrays are missing, unknown, of another shape, no floats
        or not finite, or an array's two names do not agree; says which.
    """
    expected = {entry.name: entry for entry in entries(stack)}
    given = _under_first_names(unwrapped(arrays), aliases(stack))
    problems = list(_problems(expected, given))
    if problems:
        raise WeightsError(
            f"These weights are not of this network: {'; '.join(problems)}. "
            "Choose the experiment and the settings that they were made with."
        )
    variables, buffers = {}, {}
    for name, entry in expected.items():
        if entry.variable is not None:
            key = id(entry.variable)
            variables[key] = entry.variable
            if key not in buffers:
                buffers[key] = np.empty(entry.variable.shape, np.float32)
            entry.insert(
                buffers[key], given[name].astype(np.float32, copy=False)
            )
    for key, variable in variables.items():
        variable.assign(buffers[key])


def unwrapped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays without the prefix of a wrapper, where all have it."""
    wrapped = all(name.startswith(_PARALLEL) for name in arrays)
    start = len(_PARALLEL) if wrapped else 0
    return {name[start:]: array for name, array in arrays.items()}


def _theirs(entry: Entry) -> np.ndarray:
    if entry.variable is not None:
        theirs = entry.extract(entry.variable.numpy())
    elif entry.constant is not None:
        theirs = entry.constant
    else:
        theirs = np.zeros(entry.shape, np.float32)
    return np.ascontiguousarray(theirs)


def _under_first_names(
    arrays: Mapping[str, np.ndarray], first: Mapping[str, str]
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    differing = []
    for name, array in arrays.items():
        canonical = first.get(name, name)
        known = found.setdefault(canonical, array)
        if not _agree(known, array):
            differing.append(repr(canonical))
    if differing:
        raise WeightsError(
            "Arrays that have two names must agree under both, but these "
            f"differ: {_listed(differing)}. Leave one of the two out."
        )
    return found


def _agree(one: np.ndarray, other: np.ndarray) -> bool:
    both = (one, other)
    floats = all(np.issubdtype(a.dtype, np.floating) for a in both)
    return one is other or np.array_equal(one, other, equal_nan=floats)


def _problems(
    expected: Mapping[str, Entry], given: Mapping[str, np.ndarray]
) -> Iterator[str]:
    needed = (n for n, e in expected.items() if e.variable is not None)
    yield from _problem("missing", (repr(n) for n in needed if n not in given))
    unknown = (repr(n) for n in given if n not in expected)
    yield from _problem("unknown", unknown)
    known = {n: a for n, a in given.items() if n in expected}
    for what, wrong in (
        ("of another shape", _shape_problem),
        ("no floats", _type_problem),
        ("not finite", _value_problem),
        ("another mask", _mask_problem),
    ):
        found = (wrong(expected[n], a) for n, a in known.items())
        yield from _problem(what, filter(None, found))


def _problem(what: str, names: Iterable[str]) -> Iterator[str]:
    listed = list(names)
    if listed:
        yield f"{what}: {_listed(listed)}"


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _shape_problem(entry: Entry, array: np.ndarray) -> str | None:
    if array.shape == entry.shape:
        return None
    expected, received = list(entry.shape), list(array.shape)
    return f"{entry.name!r} (expected {expected}, received {received})"


def _type_problem(entry: Entry, array: np.ndarray) -> str | None:
    is_float = np.issubdtype(array.dtype, np.floating)
    return None if is_float else f"{entry.name!r} ({array.dtype})"


def _value_problem(entry: Entry, array: np.ndarray) -> str | None:
    if not np.issubdtype(array.dtype, np.floating):
        return None
    with np.errstate(over="ignore"):  # float64 may not fit into float32
        finite = np.isfinite(array.astype(np.float32, copy=False)).all()
    return None if finite else repr(entry.name)


def _mask_problem(entry: Entry, array: np.ndarray) -> str | None:
    if entry.constant is None or array.shape != entry.shape:
        return None
    return None if np.array_equal(array, entry.constant) else repr(entry.name)
