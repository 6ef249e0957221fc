"""Mean and spread over seeds, from the summaries of finished runs.

    for seed in 0 1 2; do
      gim run --experiment fashion_mnist_gim --seed $seed \
          --output-dir outputs/seed_$seed
    done
    python benchmarks/seed_table.py outputs/seed_*/summary.json

Prints a Markdown table (mean +- sample standard deviation, in %, and n) and
one JSON line.
"""

import argparse
import json
import statistics
from pathlib import Path

COLUMNS = {
    "linear_top1": "linear",
    "untrained_linear_top1": "untrained",
    "linear_grid_top1": "linear, 7x7 grid",
    "untrained_linear_grid_top1": "untrained, 7x7 grid",
    "knn_top1": "kNN",
    "untrained_knn_top1": "untrained kNN",
}


def main() -> None:
    """Reads the summaries and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summaries", nargs="+", type=Path)
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.summaries]
    names = {(run["experiment"], run["data"]["fingerprint"]) for run in runs}
    seeds = {run["seed"] for run in runs}
    if len(names) != 1 or len(seeds) != len(runs):
        parser.error("expected one experiment on one data set, other seeds")
    print(f"| module | {' | '.join(COLUMNS.values())} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    rows = {}
    for module in runs[0]["probes"]:
        rows[module] = {
            key: spread([run["probes"][module][key] for run in runs])
            for key in COLUMNS
            if runs[0]["probes"][module][key] is not None
        }
        cells = [text(rows[module].get(key)) for key in COLUMNS]
        print(f"| {module} | {' | '.join(cells)} |")
    controls = {
        key: spread([run["controls"][key] for run in runs])
        for key in ("raw_top1", "raw_knn_top1", "chance")
    }
    print(
        f"\nRaw pixels: linear {text(controls['raw_top1'])}, "
        f"kNN {text(controls['raw_knn_top1'])}; most frequent class "
        f"{text(controls['chance'])}; n = {len(runs)} seeds."
    )
    print(json.dumps({"seeds": sorted(seeds), "n": len(runs), **rows}))


def spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return {"mean": statistics.mean(values), "std": deviation}


def text(values: dict[str, float] | None) -> str:
    """Both in percent; a dash where nothing was measured."""
    if values is None:
        return "-"
    return f"{100 * values['mean']:.1f} +- {100 * values['std']:.1f}"


if __name__ == "__main__":
    main()
