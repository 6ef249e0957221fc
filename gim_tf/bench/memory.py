"""`gim bench memory`: what a step needs, by how its gradients are taken.

The same blocks, end to end under labels, as CPC and as Greedy InfoMax, each in
a process of its own.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from gim_tf import experiments
from gim_tf.bench import machine
from gim_tf.bench.own_process import measure_apart
from gim_tf.bench.stepper import Plan
from gim_tf.config import Experiment
from gim_tf.errors import ConfigError

SUPERVISED = "end-to-end supervised"
# What of each variant's step goes into its row.
_KEPT = (
    "peak_mib_above_import",
    "kept_mib",
    "wall_s",
    "cpu_s",
    "parameters",
)


class Variant(NamedTuple):
    """A row of the table: its name, and what is run for it."""

    name: str
    plan: Plan


def measure(
    experiment: Experiment,
    *,
    steps: int,
    threads: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Measures all variants, one after the other.

    Args:
      experiment: the modules, the batch size and all settings of training;
        its family, what its name has before `_gim`, has a `_supervised` and
        a `_cpc`.
      steps: that are timed of each.
      threads: see `gim_tf.bench.machine.set_threads`.
      report: receives the name of each before it begins.

    Returns:
      "rows", one a variant: "variant", what `step.measure` found, and
      "of_supervised" and "kept_of_supervised", the shares of the first one's
      peak and kept bytes.

    Raises:
      ConfigError: there is no such family.
      BenchError: a variant did not end well.
    """
    rows: list[dict[str, Any]] = []
    for variant in variants(experiment):
        report(variant.name)
        found = measure_apart(variant.plan, steps=steps, threads=threads)
        row = {"variant": variant.name, **{key: found[key] for key in _KEPT}}
        whole = (rows or [row])[0]
        rows.append(
            {
                **row,
                "of_supervised": _share("peak_mib_above_import", row, whole),
                "kept_of_supervised": _share("kept_mib", row, whole),
            }
        )
    return {
        "bench": "memory",
        "experiment": experiment.name,
        "batch_size": experiment.training.batch_size,
        "threads": threads or machine.cores(),
        "steps": steps,
        "rows": rows,
        "machine": machine.describe(),
    }


def variants(experiment: Experiment) -> Iterator[Variant]:
    """The rows of an experiment, end-to-end supervision first."""
    family = experiment.name.partition("_gim")[0]
    others = {
        SUPERVISED: f"{family}_supervised",
        "end-to-end CPC": f"{family}_cpc",
    }
    for name in others.values():
        if name not in experiments.names():
            raise ConfigError(
                f"{experiment.name!r} has no {name!r} to compare with; "
                "expected one whose name has _gim, as 'stl10_gim'."
            )
    for row, name in others.items():
        yield Variant(row, Plan(experiment=_like(experiment, name)))
    yield Variant(
        "GIM, summed loss", Plan(experiment=experiment, loss="summed")
    )
    yield Variant("GIM, freed tapes", Plan(experiment=experiment))
    for module in range(1, experiment.stack.num_modules + 1):
        yield Variant(
            f"GIM, module {module} alone",
            Plan(experiment=experiment, module=module),
        )


def _like(experiment: Experiment, name: str) -> Experiment:
    """Another experiment with this one's blocks, views and training."""
    other = experiments.get(name)
    return dataclasses.replace(
        other,
        view=experiment.view,
        stack=dataclasses.replace(
            other.stack,
            encoder=experiment.stack.encoder,
            module_sizes=(experiment.stack.encoder.num_blocks,),
        ),
        training=experiment.training,
    )


def _share(key: str, row: dict[str, Any], whole: dict[str, Any]) -> float:
    return row[key] / whole[key]
