"""The results of a golden check, for people and for machines."""

import json
import math
from collections.abc import Sequence
from typing import Any

from gim_tf.fidelity.checking import CaseResult
from gim_tf.fidelity.comparisons import Comparison

_HEADER = (
    "case",
    "quantity",
    "arrays",
    "absolute",
    "relative",
    "of limit",
    "noise",
)


def rows(results: Sequence[CaseResult]) -> list[tuple[str, ...]]:
    """A row for each case and quantity, the header first.

    Differences are the largest over the arrays. "of limit" is the difference
    that is nearest to what is allowed, or furthest beyond, in units of it:
    above 1 fails. "noise" counts the arrays that are within the noise of
    float32 and not within the tolerance.
    """
    table: list[tuple[str, ...]] = [_HEADER]
    for result in results:
        for quantity, among in result.by_quantity().items():
            noisy = sum(c.passed and c.excess > 1.0 for c in among)
            table.append(
                (
                    result.name,
                    quantity,
                    str(len(among)),
                    f"{max(c.absolute for c in among):.1e}",
                    f"{max(c.relative for c in among):.1e}",
                    f"{max(map(_share, among)):.3f}",
                    str(noisy or ""),
                )
            )
        if result.error:
            table.append((result.name, "ERROR", result.error, *[""] * 4))
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
    rule = "|---|---|--:|--:|--:|--:|--:|"
    return "\n".join((header, rule, *body))


def as_json(results: Sequence[CaseResult]) -> str:
    """One line: {"cases": n, "failed": [names], "worst": {quantity: ...}}."""
    worst: dict[str, tuple[str, Comparison]] = {}
    for result in results:
        for quantity, among in result.by_quantity().items():
            one = max(among, key=_share)
            known = worst.get(quantity)
            if known is None or _share(one) > _share(known[1]):
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


def _share(one: Comparison) -> float:
    """Of what is allowed; above 1 fails."""
    return one.excess / one.allowed


def _numbers(one: Comparison) -> dict[str, Any]:
    numbers = {
        "absolute": one.absolute,
        "relative": one.relative,
        "of_tolerance": one.excess,
        "allowed": one.allowed,
    }
    finite = {
        key: value if math.isfinite(value) else None
        for key, value in numbers.items()
    }
    return {"array": one.name, **finite}
