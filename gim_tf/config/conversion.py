"""Configurations to JSON and back, overridden and compared by dotted path."""

import ast
import dataclasses
import difflib
import hashlib
import json
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from gim_tf.config.schema import KINDS, Experiment
from gim_tf.config.validation import check_labels, validate
from gim_tf.errors import ConfigError

# May be absent as a whole: assigned None, or brought in by its kind.
_OPTIONAL = "stack.autoregressor"

_LARGEST = sys.float_info.max

# What ingest may find out, by section.
_OF_THE_DATA = {
    "data": ("class_names", "frame_names"),
    "view": ("mean", "std"),
}


def to_dict(config: Any) -> dict[str, Any]:
    """Plain nested dictionaries and lists, ready for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def to_json(config: Any) -> str:
    """Readable JSON of a configuration, with sorted keys."""
    return json.dumps(to_dict(config), indent=2, sort_keys=True) + "\n"


def from_dict(values: Mapping[str, Any]) -> Experiment:
    """Inverse of `to_dict`; raises `ConfigError` for what does not fit."""
    return _convert(Experiment, values, "experiment")


def fingerprint(config: Any) -> str:
    """Short hash that changes with any value of the configuration."""
    return hashlib.sha256(to_json(config).encode()).hexdigest()[:12]


def resolve(experiment: Experiment, overrides: Iterable[str]) -> Experiment:
    """Applies `dotted.path=value` overrides, in order, and validates.

    Values are Python literals; what is no literal is taken as a string.

    Raises:
      ConfigError: unknown key (with the nearest known one), wrong type, or a
        combination that cannot run.
    """
    values = to_dict(experiment)
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator:
            raise ConfigError(
                f"Expected KEY=VALUE, such as training.num_steps=200, "
                f"received {override!r}."
            )
        _assign(values, key.strip(), _literal(text.strip()))
    resolved = from_dict(values)
    validate(resolved)
    return resolved


def completed(experiment: Experiment, corpus: Mapping[str, Any]) -> Experiment:
    """The experiment with what only its data can tell.

    Args:
      experiment: what it says itself stands.
      corpus: what ingest found, see `gim_tf.data.corpus`: "class_names",
        "frame_names", "mean" and "std", each may be missing.

    Raises:
      ConfigError: a task of the probes has no labels in these data.
    """
    values = to_dict(experiment)
    for path in _open(values):
        section, key = path.split(".")
        if corpus.get(key) is not None:
            values[section][key] = corpus[key]
    found = from_dict(values)
    check_labels(found.probe.tasks, found.data)
    return found


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Dotted keys whose values differ between two configurations."""
    flat_old, flat_new = _flatten(old), _flatten(new)
    keys = sorted(flat_old.keys() | flat_new.keys())
    missing = object()
    return [
        key
        for key in keys
        if flat_old.get(key, missing) != flat_new.get(key, missing)
    ]


def overrides(base: Experiment, changed: Experiment) -> list[str]:
    """The `dotted.path=value` words that make `changed` of `base`.

    What ingest finds where `base` leaves it open is left out.
    """
    old, new = to_dict(base), to_dict(changed)
    values, found = _flatten(new), set(_open(old))
    keys = [
        key
        for key in differing_keys(old, new)
        if key in values and key not in found
    ]
    # A kind first: it decides which other keys there are.
    keys.sort(key=lambda key: not key.endswith(".kind"))
    return [f"{key}={values[key]!r}" for key in keys]


def _open(values: Mapping[str, Any]) -> list[str]:
    """Dotted paths of what is left to ingest."""
    return [
        f"{section}.{key}"
        for section, keys in _OF_THE_DATA.items()
        for key in keys
        if values[section].get(key, "") in (None, [])
    ]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        lowered = {"true": True, "false": False, "none": None}
        return lowered.get(text.lower(), text)


def _assign(values: dict[str, Any], path: str, value: Any) -> None:
    known = [*_flatten(values), _OPTIONAL, f"{_OPTIONAL}.kind"]
    if path not in known:
        near = difflib.get_close_matches(path, known, n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown setting {path!r}; the nearest known one is {near[0]!r}."
        )
    *parents, leaf = path.split(".")
    node = values
    for parent in parents:
        if node[parent] is None:
            node[parent] = {"kind": None}
        node = node[parent]
    if leaf == "kind" and value in KINDS and value != node[leaf]:
        # Another kind has other settings: its defaults, None where it has
        # none, which is refused unless a later override sets it.
        node.clear()
        for item in dataclasses.fields(KINDS[value]):
            node[item.name] = _default(item)
    node[leaf] = value


def _default(item: dataclasses.Field) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return to_dict(item.default_factory())
    return None if item.default is dataclasses.MISSING else item.default


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Builds `kind` from plain JSON values, checking types on the way."""
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _convert_dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(kind, value, where)
    if origin is Literal:
        if not any(
            value == known and type(value) is type(known)
            for known in typing.get_args(kind)
        ):
            raise ConfigError(
                f"{where} must be one of {list(typing.get_args(kind))}, "
                f"received {value!r}."
            )
        return value
    if origin is tuple:
        item_kind = typing.get_args(kind)[0]
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, received {value!r}.")
        return tuple(_convert(item_kind, item, where) for item in value)
    return _convert_scalar(kind, value, where)


def _convert_scalar(kind: Any, value: Any, where: str) -> Any:
    is_bool = isinstance(value, bool)
    if kind is float and isinstance(value, int | float) and not is_bool:
        # A comparison with a limit would let NaN pass.
        if not -_LARGEST <= value <= _LARGEST:
            raise ConfigError(
                f"{where} must be finite, received {str(value)[:20]}."
            )
        return float(value)
    if isinstance(value, kind) and (not is_bool or kind is bool):
        return value
    raise ConfigError(
        f"{where} must be of type {kind.__name__}, received {value!r}."
    )


def _convert_union(kind: Any, value: Any, where: str) -> Any:
    options = typing.get_args(kind)
    if value is None and type(None) in options:
        return None
    options = tuple(o for o in options if o is not type(None))
    tagged = [o for o in options if dataclasses.is_dataclass(o)]
    if not tagged:
        return _convert(options[0], value, where)
    tag = value.get("kind") if isinstance(value, Mapping) else None
    for option in tagged:
        if _tag(option) == tag:
            return _convert(option, value, where)
    raise ConfigError(
        f"{where}.kind must be one of {[_tag(o) for o in tagged]}, "
        f"received {tag!r}."
    )


def _tag(kind: Any) -> str:
    (tag,) = typing.get_args(typing.get_type_hints(kind)["kind"])
    return tag


def _convert_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a mapping, received {value!r}.")
    hints = typing.get_type_hints(kind)
    fields = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(value) - fields)
    if unknown:
        near = difflib.get_close_matches(unknown[0], fields, n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown setting {where}.{unknown[0]}; the nearest known one is "
            f"{near[0]!r}."
        )
    try:
        return kind(
            **{
                name: _convert(hints[name], item, f"{where}.{name}")
                for name, item in value.items()
            }
        )
    except TypeError as error:
        raise ConfigError(f"{where} is incomplete: {error}.") from error
