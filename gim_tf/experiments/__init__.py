"""One file an experiment; found by name, imported without TensorFlow."""

import difflib
import importlib
import pkgutil

from gim_tf.config import Experiment
from gim_tf.errors import ConfigError


def names() -> list[str]:
    """Names of all experiments, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def get(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
      ConfigError: no such experiment; the message has the nearest name.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown experiment {name!r}; the nearest known one is "
            f"{near[0]!r} (`gim experiments` lists all)."
        )
    return importlib.import_module(f"{__name__}.{name}").EXPERIMENT
