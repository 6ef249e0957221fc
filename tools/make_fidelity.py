"""Writes the tables of docs/fidelity.md again, from a set of goldens.

    python tools/make_fidelity.py ../shared/goldens

The prose around the tables stays as it is.
"""

import re
import sys
from pathlib import Path

from gim_tf import build, experiments
from gim_tf.fidelity import check_directory
from gim_tf.fidelity.tables import as_markdown
from gim_tf.interop import parameter_count

DOCUMENT = Path(__file__).parents[1] / "docs" / "fidelity.md"
MODELS = ("stl10_gim", "stl10_cpc", "librispeech_gim", "librispeech_cpc")


def parameters() -> str:
    """Parameters of the paper's models, ours and the authors'."""
    lines = [
        "| experiment | ours | under masks | never used | authors' model |",
        "|---|--:|--:|--:|--:|",
    ]
    for name in MODELS:
        stack = build.build_stack(experiments.get(name))
        counts = (f"{count:,}" for count in parameter_count(stack))
        lines.append(f"| `{name}` | {' | '.join(counts)} |")
    return "\n".join(lines)


def replaced(text: str, name: str, content: str) -> str:
    """The text with what stands between the two marks of that name."""
    marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(text):
        raise ValueError(f"{DOCUMENT} has no place for {name}.")
    return marks.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main(goldens: Path) -> None:
    """Replays the goldens and writes both tables."""
    text = replaced(DOCUMENT.read_text(), "parameters", parameters())
    results = check_directory(goldens, lambda one: print(one.name, one.passed))
    met = sum(result.passed for result in results)
    summary = f"{met} of {len(results)} cases are met."
    table = f"{summary}\n\n{as_markdown(results)}"
    DOCUMENT.write_text(replaced(text, "goldens", table))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
