"""What a study leaves: results.csv, results.json, Markdown, PNG and a page."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from gim_tf.inspection import pages
from gim_tf.studies.figures import FIGURES
from gim_tf.studies.rows import Results, Row
from gim_tf.studies.tables import TABLES, Table, markdown


def write(results: Results) -> dict[str, Any]:
    """Writes everything again from what the runs found.

    `results.csv` and `results.json` have every number, `table.md` the tables,
    `figure.png` (of several figures: `figure_NAME.png`) the figures, and
    `study.html` all of it in one file. Each is replaced whole.

    Returns:
      The content of results.json.
    """
    study, place = results.request.study, results.request.results
    there = bool(results.finished or results.benches)
    made = [TABLES[name](results) for name in study.tables] if there else []
    tables = [table for table in made if table.rows]
    figures = {
        _figure_name(name, study.figures): FIGURES[name](results)
        for name in study.figures
        if there
    }
    content = _content(results, tables)
    place.mkdir(parents=True, exist_ok=True)
    _replace(place / "results.csv", _csv(results).encode())
    _replace(place / "results.json", _json(content))
    _replace(place / "table.md", _markdown(results, tables).encode())
    for name, png in figures.items():
        _replace(place / name, png)
    _replace(place / "study.html", _page(results, tables, figures).encode())
    return content


def _content(results: Results, tables: list[Table]) -> dict[str, Any]:
    request = results.request
    return {
        "study": request.study.name,
        "dataset": request.chosen,
        "paper": request.study.paper,
        "seeds": list(request.seeds),
        "overrides": list(request.overrides),
        "missing": list(results.missing),
        "tables": [table._asdict() for table in tables],
        "rows": [row._asdict() for row in results.rows],
    }


def _figure_name(name: str, names: tuple[str, ...]) -> str:
    return "figure.png" if len(names) == 1 else f"figure_{name}.png"


def _csv(results: Results) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(results.rows)
    return text.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _about(results: Results) -> str:
    request = results.request
    seeds = ", ".join(map(str, request.seeds))
    parts = [
        f"{request.study.summary[0].upper()}{request.study.summary[1:]}; data "
        f"set {request.chosen}, seeds {seeds}."
    ]
    if request.overrides:
        parts.append(f"With {', '.join(request.overrides)}.")
    return " ".join(parts)


def _markdown(results: Results, tables: list[Table]) -> str:
    parts = [_about(results) + "\n", *map(markdown, tables)]
    if results.missing:
        parts.append(f"Not finished: {'; '.join(results.missing)}.\n")
    return "\n".join(parts)


def _page(
    results: Results, tables: list[Table], figures: dict[str, bytes]
) -> str:
    return pages.render(
        "study.html",
        title=f"Study {results.request.study.name}, {results.request.chosen}",
        about=_about(results),
        missing=list(results.missing),
        tables=tables,
        figures=[{"name": n, "png": png} for n, png in figures.items()],
    )


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
