"""The results of a golden check, for people and for machines."""

import json
import math
from collections.abc import Sequence
from typing import Any

from gim_tf.fidelity.checking import CaseResult
from gim_tf.fidelity.comparisons import Comparison

_HEADER = ("case", "quantity", "arrays", "absolute", "relative", "of limit")


def rows(results: Sequence[CaseResult]) -> list[tuple[str, ...]]:
    """A row for each case and quantity, the header first.

    Differences are the largest over the arrays; "of limit" is the difference
    nearest to its tolerance, in units of it: above 1 fails.
    """
    table = [_HEADER]
    for result in results:
        for quantity, worst in result.worst().items():
            among = [c for c in result.comparisons if c.quantity == quantity]
            table.append(
                (
                    result.name,
                    quantity,
                    str(len(among)),
                    f"{max(c.absolute for c in among):.1e}",
                    f"{max(c.relative for c in among):.1e}",
                    f"{worst.excess:.3f}",
                )
            )
        if result.error:
            table.append((result.name, "ERROR", "", "", "", result.error))
    return table


def as_text(results: Sequence[CaseResult]) -> str:
    """The table in aligned columns."""
    table = rows(results)
    widths = [max(len(row[i]) for row in table) for i in range(len(_HEADER))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in table
    )


def as_markdown(results: Sequence[CaseResult]) -> str:
    """The table in Markdown."""
    header, *body = (f"| {' | '.join(row)} |" for row in rows(results))
    rule = "|---|---|--:|--:|--:|--:|"
    return "\n".join((header, rule, *body))


def as_json(results: Sequence[CaseResult]) -> str:
    """One line: {"cases": n, "failed": [names], "worst": {quantity: ...}}."""
    worst: dict[str, tuple[str, Comparison]] = {}
    for result in results:
        for quantity, one in result.worst().items():
            known = worst.get(quantity)
            if known is None or one.excess > known[1].excess:
                worst[quantity] = (result.name, one)
    return json.dumps(
        {
            "cases": len(results),
            "failed": [result.name for result in results if not result.passed],
            "worst": {
                quantity: {"case": case, **_numbers(one)}
                for quantity, (case, one) in worst.items()
            },
        }
    )


def _numbers(one: Comparison) -> dict[str, Any]:
    numbers = {
        "absolute": one.absolute,
        "relative": one.relative,
        "of_limit": one.excess,
    }
    finite = {
        key: value if math.isfinite(value) else None
        for key, value in numbers.items()
    }
    return {"array": one.name, **finite}
