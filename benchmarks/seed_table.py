"""Mean and spread over seeds, from the summaries of finished runs.

    for seed in 0 1 2; do
      gim run --experiment fashion_mnist_gim --seed $seed \
          --output-dir outputs/seed_$seed
    done
    python benchmarks/seed_table.py outputs/seed_*/summary.json

Prints a Markdown table a task (mean +- sample standard deviation, in %, and n)
and one JSON line.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from gim_tf.inspection.tasks import GAIN, UNTRAINED, Task, tasks


def main() -> None:
    """Reads the summaries and prints a table a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summaries", nargs="+", type=Path)
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.summaries]
    names = {(run["experiment"], run["data"]["fingerprint"]) for run in runs}
    seeds = sorted({run["seed"] for run in runs})
    if len(names) != 1 or len(seeds) != len(runs):
        parser.error("expected one experiment on one data set, other seeds")
    found = {}
    for same in zip(*(tasks(run) for run in runs), strict=True):
        found[same[0].name] = print_task(same)
    print(json.dumps({"seeds": seeds, "n": len(runs), **found}))


def print_task(runs: tuple[Task, ...]) -> dict[str, Any]:
    """Prints the table of one task; returns its figures.

    Args:
      runs: the task's results, one a seed.
    """
    first = runs[0]
    columns = {}
    for key, title in first.measured(first.words.columns):
        is_result = key != GAIN and not key.startswith(UNTRAINED)
        if is_result:
            columns[key] = title
            columns[f"{UNTRAINED}{key}"] = "untrained"
    print(f"| module | {' | '.join(columns.values())} |")
    print("|---" * (len(columns) + 1) + "|")
    figures: dict[str, Any] = {}
    for module in first.names:
        figures[module] = {
            key: spread([run.value(module, key) for run in runs])
            for key in columns
        }
        cells = [text(figures[module][key]) for key in columns]
        print(f"| {module} | {' | '.join(cells)} |")
    controls = {
        key: spread([run.controls[key] for run in runs])
        for key in first.controls
        if first.controls[key] is not None
    }
    named = (f"{key} {text(values)}" for key, values in controls.items())
    print(f"\nControls: {', '.join(named)}; n = {len(runs)} seeds.\n")
    return {**figures, "controls": controls}


def spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "std": deviation}


def text(values: dict[str, float]) -> str:
    """Both in percent."""
    return f"{100 * values['mean']:.1f} +- {100 * values['std']:.1f}"


if __name__ == "__main__":
    main()
