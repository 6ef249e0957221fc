"""Writes what a tool has measured between its marks of docs/reliability.md."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"


def write_block(name: str, text: str) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- end -->`.

    Raises:
      ValueError: the page has no such marks, or has them twice.
    """
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    content, count = marks.subn(
        lambda found: f"{found[1]}{text}\n{found[2]}", PAGE.read_text()
    )
    if count != 1:
        raise ValueError(f"{PAGE} has {count} blocks {name!r}, expected one.")
    PAGE.write_text(content)
