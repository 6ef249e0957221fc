"""What free-running workers cost the probes: seeds against the simple loop.

    python benchmarks/free_running.py outputs/free --seeds 0,1,2 \
        --set training.num_steps=300 --figure docs/results/free_running.png

For each seed a run of the simple loop and one of free-running workers, a module
each, with one thread a worker; then the same probes. A finished run is not
repeated. Prints a table a module (mean +- sample standard deviation over seeds,
in %) and one JSON line; the figure has the same numbers.

How free workers run depends on which of them get the processor: repeat it on
the machine that matters.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gim_tf.cli.printing import print_bench
from gim_tf.inspection import study_plots
from gim_tf.inspection.study_plots import Point
from gim_tf.studies.spread import Spread, percent, spread

_FREE = (
    "--schedule=decoupled",
    "--worker-threads=1",
    "--set=training.decoupled_mode=free_running",
)
_MODES = {
    "simultaneous": ("--set=training.schedule=simultaneous",),
    "free_running": _FREE,
}
_SCORE = "linear_top1"


def main() -> None:
    """Trains and probes what is missing; prints and draws."""
    options = _options()
    found = {
        mode: [
            _scores(options, mode, int(seed))
            for seed in options.seeds.split(",")
        ]
        for mode in _MODES
    }
    found["untrained"] = [
        {
            name: {_SCORE: values[f"untrained_{_SCORE}"]}
            for name, values in run.items()
        }
        for run in found["simultaneous"]
    ]
    spreads = {mode: _spreads(runs) for mode, runs in found.items()}
    rows = [
        {
            "weights": mode.replace("_", " "),
            **{name: percent(one) for name, one in modules.items()},
            "n": len(found[mode]),
        }
        for mode, modules in spreads.items()
    ]
    result = {
        "experiment": options.experiment,
        "seeds": options.seeds,
        "linear_top1": {
            mode: {name: one._asdict() for name, one in modules.items()}
            for mode, modules in spreads.items()
        },
    }
    print_bench(result, rows, only_json=options.json)
    if options.figure:
        options.figure.write_bytes(_drawn(options.experiment, spreads))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--experiment", default="fashion_mnist_gim")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--json", action="store_true", help="no table")
    return parser.parse_args()


def _scores(
    options: argparse.Namespace, mode: str, seed: int
) -> Mapping[str, Mapping[str, float]]:
    """The probes' scores of each module, by name."""
    run = options.output / f"{mode}_{seed}"
    path = run / "probe" / "probes.json"
    if not path.is_file():
        more = list(_MODES[mode])
        if mode == "free_running":
            more.append(f"--workers={options.workers}")
        settings = [f"training.seed={seed}", "probe.grid=false", *options.set]
        _gim(
            run,
            "pretrain",
            f"--experiment={options.experiment}",
            *more,
            *(f"--set={setting}" for setting in settings),
        )
        _gim(run, "probe", f"--controls={options.output / 'controls'}")
    tasks: Mapping[str, Any] = json.loads(path.read_text())["tasks"]
    return next(iter(tasks.values()))["modules"]


def _gim(run: Path, *arguments: str) -> None:
    verb, *rest = arguments
    command = [sys.executable, "-m", "gim_tf.cli", verb, *rest]
    subprocess.run([*command, f"--output-dir={run}"], check=True)


def _spreads(
    runs: Sequence[Mapping[str, Mapping[str, float]]],
) -> dict[str, Spread]:
    return {name: spread(run[name][_SCORE] for run in runs) for name in runs[0]}


def _drawn(title: str, spreads: Mapping[str, Mapping[str, Spread]]) -> bytes:
    curves = {
        mode.replace("_", " "): [
            Point(name, 100 * one.mean, 100 * one.std)
            for name, one in modules.items()
        ]
        for mode, modules in spreads.items()
    }
    return study_plots.by_depth({title: curves}, "linear probe, %")


if __name__ == "__main__":
    main()
