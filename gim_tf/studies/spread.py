"""Mean and spread over seeds, and how they are written."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Spread(NamedTuple):
    """Mean, sample standard deviation (NaN of one value) and count."""

    mean: float
    std: float
    n: int


def spread(values: Iterable[float | None]) -> Spread:
    """Of the values that are finite numbers; NaN where there are none."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return Spread(math.nan, math.nan, 0)
    deviation = statistics.stdev(known) if len(known) > 1 else math.nan
    return Spread(statistics.fmean(known), deviation, len(known))


def text(found: Spread, digits: int = 1, scale: float = 1.0) -> str:
    """Such as "81.9 +- 0.3"; no spread of one value, "-" of none."""
    if not found.n:
        return "-"
    mean = f"{scale * found.mean:.{digits}f}"
    if math.isnan(found.std):
        return mean
    return f"{mean} +- {scale * found.std:.{digits}f}"


def percent(found: Spread) -> str:
    """A share as percentages."""
    return text(found, scale=100.0)
