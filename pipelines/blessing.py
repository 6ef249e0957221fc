"""Whether an encoder may be served, decided from its probe results."""

from collections.abc import Mapping
from typing import Any, NamedTuple

# Property of a blessing: `parts.measured_on` of its experiment.
MEASURED_ON = "measured_on"


class Verdict(NamedTuple):
    """The decision, the deciding accuracy, and one sentence a condition."""

    blessed: bool
    score: float
    reasons: tuple[str, ...]


def judge(
    probes: Mapping[str, Any],
    *,
    margin: float,
    tolerance: float,
    baseline: float | None,
) -> Verdict:
    """Compares the last module's linear probe with what it must reach.

    Args:
      probes: content of `probes.json`; its first task decides.
      margin: by how much it must beat the untrained encoder, in [0, 1].
      tolerance: by how much it may fall behind the last blessed model.
      baseline: that model's accuracy; None if there is none yet.
    """
    task, found = next(iter(probes["tasks"].items()))
    modules = found["modules"]
    last = max(modules, key=lambda name: int(name.rpartition("_")[2]))
    score = float(modules[last]["linear_top1"])
    untrained = float(modules[last]["untrained_linear_top1"])
    subject = last if task == "class" else f"{task}, {last}"
    results = [
        (
            score >= untrained + margin,
            f"{subject} reaches {score:.3f}; {untrained + margin:.3f} asked "
            f"for (untrained {untrained:.3f} plus blessing.margin {margin:g})",
        )
    ]
    if baseline is not None:
        results.append(
            (
                score >= baseline - tolerance,
                f"{subject} reaches {score:.3f}; {baseline - tolerance:.3f} "
                f"asked for (last blessed model {baseline:.3f} minus "
                f"blessing.tolerance {tolerance:g})",
            )
        )
    return Verdict(
        blessed=all(passed for passed, _ in results),
        score=score,
        reasons=tuple(
            f"{'passed' if passed else 'failed'}: {text}."
            for passed, text in results
        ),
    )
