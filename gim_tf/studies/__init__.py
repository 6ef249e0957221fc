"""The paper's tables and figures, each from runs, by one command.

A study is a file in `catalogue/`; nothing here imports TensorFlow, which only
the runs need, each a process of its own.
"""

import difflib
import importlib
import pkgutil

from gim_tf.errors import ConfigError
from gim_tf.studies import catalogue
from gim_tf.studies.schema import Study


def names() -> list[str]:
    """Names of all studies, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(catalogue.__path__))


def get(name: str) -> Study:
    """The study of that name.

    Raises:
      ConfigError: no such study; the message has the nearest name.
    """
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
        raise ConfigError(
            f"Unknown study {name!r}; the nearest known one is {near[0]!r} "
            "(`gim study --list` lists all)."
        )
    return importlib.import_module(f"{catalogue.__name__}.{name}").STUDY
