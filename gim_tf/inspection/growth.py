"""Growing a network, depth by depth: what to conclude, as text and chart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import MaxNLocator, PercentFormatter

from gim_tf.inspection import style
from gim_tf.inspection.curves import as_float
from gim_tf.inspection.facts import number

GROW = "grow on"
SATURATED = "stop: saturated"
LIMIT = "stop: the most modules that were allowed"
EXHAUSTED = "stop: nothing can be stacked on it"


def gain(accuracies: Sequence[float]) -> float | None:
    """What the last depth adds to the best before it; None for the first."""
    if len(accuracies) < 2:
        return None
    return accuracies[-1] - max(accuracies[:-1])


def best(accuracies: Sequence[float], tolerance: float) -> int:
    """Place of the shallowest that is within the tolerance of the highest."""
    least = max(accuracies) - max(tolerance, 0.0)
    enough = (i for i, accuracy in enumerate(accuracies) if accuracy > least)
    return next(enough, accuracies.index(max(accuracies)))


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The table, cell by cell: one row a depth.

    Args:
      found: the content of growth.json.
    """
    return [
        {
            "depth": str(row["depth"])
            + (" (best)" if row["depth"] == found["best_depth"] else ""),
            "parameters": number(row["parameters"], 0),
            "trained": number(row["trained_parameters"], 0),
            "steps": number(row["steps"], 0),
            "seconds": number(row["seconds"], 0),
            "training loss": number(row["loss"], 3),
            "held-out loss": number(row["heldout_loss"], 3),
            "deciding accuracy %": f"{100 * row['deciding_top1']:.1f} "
            f"+- {100 * row['standard_error']:.1f}",
            "gain": "-" if row["gain"] is None else f"{100 * row['gain']:+.1f}",
            "test accuracy %": f"{100 * row['test_top1']:.1f}",
            "decision": row["decision"],
        }
        for row in found["depths"]
    ]


def conclusion(found: Mapping[str, Any]) -> str:
    """The result in a few sentences."""
    shown = {row["depth"]: row for row in found["depths"]}
    best_row = shown[found["best_depth"]]
    end = "" if found["finished"] else " Growing has not ended yet."
    within = 100 * max(found["tolerance"], 0.0)
    return (
        f"Depth {best_row['depth']} is best: the shallowest within "
        f"{within:g} points of the highest accuracy on the labels that "
        f"decide. Its test accuracy is {100 * best_row['test_top1']:.1f} %."
        f"{end}"
    )


def markdown(found: Mapping[str, Any]) -> str:
    """growth.md: the table, and what its columns are."""
    cells = rows(found)
    lines = [
        f"# {found['experiment']}, grown module by module",
        "",
        conclusion(found),
        "",
        "| " + " | ".join(cells[0]) + " |",
        "|" + "---|" * len(cells[0]),
        *("| " + " | ".join(row.values()) + " |" for row in cells),
        "",
        f"Seed {found['seed']}. A depth trains its last module on those of "
        "the depth before, frozen. Losses are that module's own, in nats; a "
        f"guess has {number(found['depths'][0]['chance_loss'], 3)}. Accuracy "
        f"is that of a linear probe of that module (task {found['task']}): "
        "what decides is scored on a fifth of the labelled training split "
        f"({found['depths'][0]['deciding_count']:,} labels, +- one standard "
        "error) by a probe of the rest; the test split decides nothing. Gains "
        "are over the best depth before, in points; growing goes on while "
        f"they are {100 * found['tolerance']:g} or more.",
        "",
    ]
    return "\n".join(lines)


def picture(found: Mapping[str, Any]) -> bytes:
    """growth.png: accuracy, and the losses of each depth's module."""
    depths = [row["depth"] for row in found["depths"]]
    figure, (accuracy, loss) = style.new_figure(3.6, 2)
    panels = (
        (accuracy, "deciding_top1", "labels that decide", "#0072b2", "-"),
        (accuracy, "test_top1", "test split", style.MUTED, "--"),
        (loss, "loss", "training", "#0072b2", "-"),
        (loss, "heldout_loss", "held out", "#d55e00", "--"),
    )
    for ax, key, name, colour, dashes in panels:
        values = [as_float(row[key]) for row in found["depths"]]
        if any(map(math.isfinite, values)):
            ax.plot(
                depths,
                values,
                color=colour,
                linestyle=dashes,
                marker="o",
                label=name,
            )
    guess = as_float(found["depths"][0]["chance_loss"])
    loss.axhline(guess, color=style.CHANCE, linestyle=":", label="a guess")
    accuracy.axvline(
        found["best_depth"], color=style.FAINT, linewidth=6, zorder=0
    )
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    titles = ("Linear probe of the last module", "Its local loss")
    for ax, title in zip((accuracy, loss), titles, strict=True):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(frameon=False, fontsize=9.5)
        style.label(ax, x="depth (modules)", title=title)
    loss.set_ylabel("nats", color=style.INK, fontsize=10)
    return style.png(figure)
