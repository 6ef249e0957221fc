"""Writes the tables and figures of docs/results.md again, from studies.

    .venv/bin/python tools/make_results.py outputs

What stands between `<!-- study cifar10/accuracy_cifar10 -->` and `<!-- end -->`
becomes the tables of `outputs/cifar10/accuracy_cifar10/`, as `gim study` left
them, and its figures, copied beside the page. The prose around stays as it is,
and so do studies that are not in `outputs`.
"""

import argparse
import re
import shutil
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
_MARKS = re.compile(r"(<!-- study (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Reads the studies; writes the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("outputs", type=Path)
    outputs = parser.parse_args().outputs
    figures = PAGE.with_suffix("")
    figures.mkdir(exist_ok=True)

    def renewed(found: re.Match[str]) -> str:
        study = outputs / found[2]
        if not (study / "table.md").is_file():
            return found[0]
        return f"{found[1]}{_block(study, figures)}\n{found[3]}"

    PAGE.write_text(_MARKS.sub(renewed, PAGE.read_text()))


def _block(study: Path, figures: Path) -> str:
    """The tables of a study, and links to its figures."""
    lines = [(study / "table.md").read_text().strip()]
    for source in sorted(study.glob("figure*.png")):
        name = f"{study.name}{source.stem.removeprefix('figure')}.png"
        shutil.copyfile(source, figures / name)
        lines.append(f"\n![{study.name}]({figures.name}/{name})")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
