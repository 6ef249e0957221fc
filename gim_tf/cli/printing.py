"""How the verbs of `gim` talk: lines, tables, and commands to type next."""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm


def say(line: str) -> None:
    """A line to standard error."""
    # Above the progress bar, if there is one.
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Rows under a header, columns as wide as they need."""
    header = list(rows[0])
    lines = [header, *([str(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (c.ljust(w) for c, w in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def print_bench(
    result: Mapping[str, Any],
    rows: Sequence[dict[str, Any]],
    *,
    only_json: bool,
) -> None:
    """What a bench found: a table for people, one line for machines."""
    if not only_json:
        print_table(rows)
    print(json.dumps(result), flush=True)


def installed(name: str) -> str:
    """A command of this environment, as it can be typed from here."""
    path = Path(sys.executable).with_name(name)
    below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if below else path))
