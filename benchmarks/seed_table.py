"""Mean and spread over seeds, from the summaries of finished runs.

    for seed in 0 1 2; do
      gim run --experiment fashion_mnist_gim --seed $seed \
          --output-dir outputs/seed_$seed
    done
    python benchmarks/seed_table.py outputs/seed_*/summary.json

Prints a Markdown table a task (mean +- sample standard deviation, in %, and n)
and one JSON line. `gim study` makes tables of several systems, and their runs.
"""

import argparse
import json
from pathlib import Path

from gim_tf.errors import GimError
from gim_tf.studies.seeds import over_seeds
from gim_tf.studies.tables import markdown


def main() -> None:
    """Reads the summaries and prints a table a task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("summaries", nargs="+", type=Path)
    options = parser.parse_args()
    runs = [json.loads(path.read_text()) for path in options.summaries]
    try:
        found = over_seeds(runs)
    except GimError as error:
        parser.error(str(error))
    for one in found:
        print(markdown(one.table))
    figures = {
        one.task: {
            name: {
                key: {"mean": value.mean, "std": value.std}
                for key, value in values.items()
            }
            for name, values in one.figures.items()
        }
        for one in found
    }
    seeds = sorted(run["seed"] for run in runs)
    print(json.dumps({"seeds": seeds, "n": len(runs), **figures}))


if __name__ == "__main__":
    main()
