"""Writes tables and figures of README and docs again, from studies.

    .venv/bin/python tools/make_results.py outputs

What stands between `<!-- study cifar10/accuracy_cifar10 -->` and `<!-- end -->`
becomes the tables of `outputs/cifar10/accuracy_cifar10/`, as `gim study` left
them, and its figures, copied beside the page; of `<!-- tables STUDY -->` it is
the tables alone. `<!-- systems STUDY STUDY -->` is
one table of the first task of several accuracy studies. The prose around stays
as it is, and so do blocks of studies that are not in `outputs`.
"""

import argparse
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf.studies.tables import Table, markdown

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "results.md",
    ROOT / "docs" / "decoupled.md",
)
FIGURES = ROOT / "docs" / "results"
_MARKS = re.compile(
    r"(<!-- (study|tables|systems) ([^>]+) -->\n).*?(<!-- end -->)", re.DOTALL
)
_PAPERS = "the paper's, "
_DATA = {
    "cifar10": "CIFAR-10",
    "fashion_mnist": "Fashion-MNIST",
    "flite": "flite",
    "librispeech_mini": "LibriSpeech mini",
}


def main() -> None:
    """Reads the studies; writes the pages and their figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path)
    outputs = parser.parse_args().outputs
    FIGURES.mkdir(exist_ok=True)

    def renewed(found: re.Match[str]) -> str:
        start, kind, names, end = found.groups()
        studies = [outputs / name for name in names.split()]
        if not all((study / "table.md").is_file() for study in studies):
            print(f"Left as it is, not in {outputs}: {names}")
            return found[0]
        if kind == "study":
            return f"{start}{_block(*studies)}\n{end}"
        if kind == "tables":
            return f"{start}{_tables(*studies)}\n{end}"
        return f"{start}{_systems(studies)}\n{end}"

    for page in PAGES:
        page.write_text(_MARKS.sub(renewed, page.read_text()))


def _block(study: Path) -> str:
    """The tables of a study, and links to its figures."""
    lines = [_tables(study)]
    for source in sorted(study.glob("figure*.png")):
        name = f"{study.name}{source.stem.removeprefix('figure')}.png"
        shutil.copyfile(source, FIGURES / name)
        lines.append(f"\n![{study.name}]({FIGURES.name}/{name})")
    return "\n".join(lines)


def _tables(study: Path) -> str:
    return (study / "table.md").read_text().strip()


class _Column(NamedTuple):
    """A column of the table of all systems: title -> cell."""

    header: str
    cells: Mapping[str, str]


def _systems(studies: Sequence[Path]) -> str:
    """Systems by data sets: each study's first task, and what was quoted."""
    tables = []
    columns: list[_Column] = []
    for study in studies:
        found = json.loads((study / "results.json").read_text())
        table = found["tables"][0]
        tables.append([row[0] for row in table["rows"]])
        data = _DATA[found["dataset"]]
        ours = _column(table, 1)
        columns.append(ours._replace(header=f"{data}, {ours.header}"))
        if table["header"][2].startswith(_PAPERS):
            columns.append(_column(table, 2))
    # What the paper has of one task stands once, behind the last of ours.
    last = {column.header: index for index, column in enumerate(columns)}
    columns = [columns[index] for index in sorted(last.values())]
    rows = [
        [title, *(column.cells.get(title, "-") for column in columns)]
        for title in _merged(tables)
    ]
    header = ["system", *(column.header for column in columns)]
    return markdown(Table("", header, rows)).strip()


def _column(table: Mapping[str, Any], index: int) -> _Column:
    cells = {row[0]: row[index] for row in table["rows"]}
    return _Column(table["header"][index], cells)


def _merged(tables: Iterable[Iterable[str]]) -> list[str]:
    """All titles, each behind the one that it follows in its own table."""
    order: list[str] = []
    for titles in tables:
        place = 0
        for title in titles:
            if title in order:
                place = order.index(title)
            else:
                order.insert(place, title)
            place += 1
    return order


if __name__ == "__main__":
    main()
