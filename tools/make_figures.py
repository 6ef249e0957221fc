"""Draws the README's figures from a finished run.

python tools/make_figures.py outputs/fashion_mnist_gim docs
"""

import argparse
import json
from pathlib import Path

from gim_tf.inspection import plots
from gim_tf.inspection.task_charts import probe_chart
from gim_tf.inspection.tasks import tasks


def main() -> None:
    """Writes `<experiment>_probes.png` and `<experiment>_loss.png`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="output directory of `gim run`")
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    summary = json.loads((options.run / "summary.json").read_text())
    sources = json.loads((options.run / "report_sources.json").read_text())
    training = Path(sources["sources"]["training"])
    lines = (training / "history.jsonl").read_text().splitlines()
    chance = {
        name: values["chance_loss"]
        for name, values in summary["pretrain"]["modules"].items()
    }
    found = tasks(summary)
    figures = {
        **{
            f"{task.name}_probes" if len(found) > 1 else "probes": probe_chart(
                task
            )
            for task in found
        },
        "loss": plots.loss_curves([json.loads(line) for line in lines], chance),
    }
    options.directory.mkdir(exist_ok=True)
    for name, png in figures.items():
        path = options.directory / f"{summary['experiment']}_{name}.png"
        path.write_bytes(png)


if __name__ == "__main__":
    main()
