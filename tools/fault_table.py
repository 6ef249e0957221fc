"""Runs the numbered tests of reliability and prints one table of them.

    .venv/bin/python tools/fault_table.py [--only T1 D7 ...]

A test named `test_T1_...` is of number T1, wherever it lies and whatever its
markers. Each file runs in a process of its own. A row says how many faults
were injected (the test's own count, else one a test) and how many things were
lost or let in (the test's own count, else one a failed test). What was skipped
is shown as such and counts for nothing. The rows are kept in
docs/results/faults.json, with the commit at which each was last run, and the
table between the marks of docs/reliability.md is written from them.
"""

import argparse
import ast
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, it sees its folder alone

from tools.pages import write_block  # noqa: E402

ROWS = ROOT / "docs" / "results" / "faults.json"
SECURITY = "security"
INJECTED = {
    "T1": "`kill -9` at random points, resume: every variable's bytes",
    "T2": "SIGTERM, SIGINT",
    "T3": "newest checkpoint truncated, flipped, gone; its index gone",
    "T4": "state file garbage, empty or missing; all checkpoints damaged",
    "T5": "another configuration in a run's directory",
    "T6": "a second run in one directory; the lock of a killed process",
    "T7": "disk full: checkpoint, records, summaries",
    "T8": "learning rate of 1e30; input of inf and NaN",
    "T9": "pairs of modules between which a gradient could pass",
    "T10": "the same seed again, another seed",
    "T11": "read-only output, no data, a batch larger than the split",
    "T12": "a batch of one, a last partial batch",
    "T13": "constant input",
    "D1": "files truncated, flipped, empty, foreign, not regular",
    "D2": "wrong rate, stereo, 24 bit, too short, silent, damaged sound",
    "D3": "RGBA, palette, CMYK, 16 bit, 1x1, 8000x8000, bombs",
    "D4": "empty split, a class without examples, labels out of range",
    "D5": "phone files: unknown ids, wrong counts, no integers, CRLF",
    "D6": "TFRecord truncated, flipped, text, gzip under a plain name",
    "D7": "archives: `../`, absolute, links, pipes, bombs, damage",
    "D8": "samples of a test part that could be in another split",
    "D9": "20,000 files; names of all kinds",
    "D10": "columns missing, extra, wrongly typed; too few examples",
    "P1": "the same run again; a changed training setting",
    "P2": "`kill -9` in the Trainer, run again; what the store says",
    "P3": "two pipelines at once on one metadata store",
    "P4": "metadata store truncated",
    "P5": "an evaluation below the threshold",
    "P6": "a push that is killed; four pushes at once",
    "P7": "compiled and printed for Vertex, no credentials or network",
    "P8": "secrets in the environment, in arguments, in settings",
    "S1": "status; types and sizes of every signature, by REST and gRPC",
    "S2": "the same files by REST, gRPC and in process, within 1e-5",
    "S3": "bad requests: base64, keys, types, NaN, size, one of many",
    "S4": "warm-up requests read and answered",
    "S5": "two changes of version under a loop of requests",
    "S6": "files of what was probed; pictures and sound as trained on",
    "S7": "requests of a load at two concurrencies by REST and gRPC",
}
_NAME = re.compile(r"test_([TDPS]\d+|security)_")
_COUNTED = ("times", "lost", "passed", "failed", "skipped", "seconds")


def main() -> int:
    """Runs the tests, prints the table, writes it into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    numbers = [*INJECTED, SECURITY]
    parser.add_argument("--only", nargs="*", choices=numbers, default=numbers)
    wanted = parser.parse_args().only
    found: dict[str, dict[str, Any]] = {}
    for path, names in tests(set(wanted)).items():
        _run(path, names, found)
    rows = json.loads(ROWS.read_text()) if ROWS.is_file() else {}
    commit = _commit()
    rows.update({n: {**row, "commit": commit} for n, row in found.items()})
    ROWS.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    write_block("faults", table(rows))
    print(table({number: row for number, row in rows.items() if row}))
    bad = [n for n, row in found.items() if row["failed"] or row["lost"]]
    if bad:
        print(f"fault table: {', '.join(bad)} did not hold", file=sys.stderr)
    return 1 if bad else 0


def number_of(name: str) -> str | None:
    """T1 of test_T1_..., "security" of test_security_..., else None."""
    found = _NAME.match(name)
    return found[1] if found else None


def place(number: str) -> tuple[int, int]:
    """Sorts numbers as the list has them: T, D, P, S, security."""
    if number == SECURITY:
        return 4, 0
    return "TDPS".index(number[0]), int(number[1:])


def tests(wanted: set[str]) -> dict[Path, list[str]]:
    """Names of the tests of some numbers, by file."""
    found: dict[Path, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef)
                and number_of(node.name) in wanted
            ):
                found.setdefault(path, []).append(node.name)
    return found


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """All rows in the order of the list, as Markdown."""
    lines = [
        "| number | injected | times | lost or let in | tests | s | commit |",
        "|---|---|---|---|---|---|---|",
    ]
    injected = {**INJECTED, SECURITY: "see below"}
    for number in sorted(injected, key=place):
        row, what = rows.get(number), injected[number]
        if row is None:
            lines.append(f"| {number} | {what} | not run | | | | |")
            continue
        ended = ("passed", "failed", "skipped")
        tests_ = ", ".join(f"{row[e]} {e}" for e in ended if row[e])
        ran = row["passed"] or row["failed"]
        times, lost = (row["times"], row["lost"]) if ran else ("none", "")
        lines.append(
            f"| {number} | {what} | {times} | {lost} | {tests_} | "
            f"{row['seconds']:.0f} | {row['commit']} |"
        )
    return "\n".join(lines)


def _run(
    path: Path, names: list[str], found: dict[str, dict[str, Any]]
) -> None:
    """Runs tests of one file; adds what they say to the rows."""
    where = path.relative_to(ROOT)
    print(f"{where}: {len(names)} tests", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-o", "junit_family=xunit1", f"--junit-xml={report}"),
            *(f"{where}::{name}" for name in names),
        ]
        done = subprocess.run(
            command, cwd=ROOT, check=False, capture_output=True, text=True
        )
        if done.returncode:
            print(done.stdout[-4000:], file=sys.stderr, flush=True)
        cases = list(_cases(report)) if report.is_file() else []
    # What ended without a word about a test has failed.
    said = {name for name, _ in cases}
    cases += [
        (name, {"failed": 1, "times": 1, "lost": 1, "seconds": 0.0})
        for name in names
        if name not in said
    ]
    for name, case in cases:
        row = found.setdefault(
            number_of(name) or "", dict.fromkeys(_COUNTED, 0)
        )
        for key, value in case.items():
            row[key] += value


def _cases(report: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """(name without parameters, what to add to its row) of each test."""
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.attrib["name"].partition("[")[0]
        seconds = float(case.attrib["time"])
        if case.find("skipped") is not None:
            yield name, {"skipped": 1, "seconds": seconds}
            continue
        said = {
            one.attrib["name"]: int(one.attrib["value"])
            for one in case.iter("property")
        }
        failed = any(case.find(x) is not None for x in ("failure", "error"))
        lost = max(said.get("lost", 0), int(failed))
        yield (
            name,
            {
                "failed" if failed else "passed": 1,
                "times": said.get("times", 1),
                "lost": lost,
                "seconds": seconds,
            },
        )


def _commit() -> str:
    """Short name of the commit, with a + where files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "gim_tf", "pipelines", "tests")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
