"""Loops a small pipeline under random faults; compares it to a calm run.

    .venv/bin/python tools/soak.py [--minutes 20] [--seed 0]

First `gim pretrain` and `gim probe` run undisturbed on made pictures. Then,
until the minutes are over, rounds in fresh directories: one to four faults,
one after the other, each in a process of its own, and in the end both commands
to their end. A round must end with the same bytes: every variable of the last
checkpoint, the exported weights, and the numbers of the probes. After each
fault the command must have ended as it says it does: with 0, with 2 and one
line that names the reason, by the signal, or with 143 where it has saved.
Faults and times come from the seed; every kind of fault comes before any comes
again. As root the rounds lie on a file system of its own of 64 MB, so that it
can be filled; else the size of files is limited.

Prints a line a fault and a summary; ends with 1 if anything was lost. The
directories of rounds that went wrong are kept in outputs/soak/.
"""

import argparse
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # run as a file, it sees its folder alone

from tools.pages import write_block  # noqa: E402
from tools.soak_faults import (  # noqa: E402
    NOT_YET,
    Deck,
    Round,
    SoakError,
    expect,
    newest,
)

KEPT = ROOT / "outputs" / "soak"
DISK_MB = 64


def results(run: Path) -> dict[str, str]:
    """What must be the same in all runs, by name."""
    import tensorflow as tf

    from gim_tf.export.manifest import file_sha256

    reader = tf.train.load_checkpoint(
        str(run / "training" / f"ckpt-{newest(run)}")
    )
    found = {
        f"variable {name}": reader.get_tensor(name).tobytes().hex()
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }
    for path in sorted((run / "model" / "variables").iterdir()):
        found[f"model {path.name}"] = file_sha256(path)
    summary = json.loads((run / "summary.json").read_text())
    for key in ("data", "probes", "controls"):
        found[key] = json.dumps(summary[key], sort_keys=True)
    modules = summary["pretrain"]["modules"]
    found["losses"] = json.dumps(modules, sort_keys=True)
    return found


@contextlib.contextmanager
def disk(place: Path) -> Iterator[None]:
    """A small file system at a place, where that is allowed."""
    place.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)]
    mounted = subprocess.run(
        ["mount", *options], check=False, capture_output=True
    )
    try:
        yield
    finally:
        if not mounted.returncode:
            subprocess.run(["umount", "-l", str(place)], check=True)


def calm(place: Path) -> tuple[dict[str, str], float]:
    """Results of an undisturbed run, and the seconds of its training."""
    one = Round(place, random.Random(0))
    started = time.monotonic()
    ended = one.to_the_end("pretrain")
    seconds = time.monotonic() - started
    expect(ended.code == 0, ended, "undisturbed training")
    ended = one.to_the_end("probe")
    expect(ended.code == 0, ended, "undisturbed probe")
    return results(one.run), seconds


def disturbed(
    one: Round,
    deck: Deck,
    expected: dict[str, str],
    counts: Counter[tuple[str, str]],
) -> list[str]:
    """Runs a round; returns the names of what is not as expected."""
    for _ in range(one.random.randrange(1, 5)):
        fault = deck.deal()
        outcome = fault(one)
        if outcome.endswith(NOT_YET):
            deck.take_back(fault)
        name = fault.__name__.removeprefix("fault_").replace("_", " ")
        counts[name, outcome] += 1
        print(f"  {name}: {outcome}", flush=True)
    for verb in ("pretrain", "probe"):
        ended = one.to_the_end(verb)
        expect(ended.code == 0, ended, f"{verb} in the end")
    found = results(one.run)
    names = expected.keys() | found.keys()
    return sorted(n for n in names if found.get(n) != expected.get(n))


def main() -> int:
    """Runs rounds until the time is over; prints what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--page", action="store_true", help="write docs/reliability.md"
    )
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    counts: Counter[tuple[str, str]] = Counter()
    deck = Deck(random.Random(options.seed))
    rounds, wrong = 0, 0
    with tempfile.TemporaryDirectory(prefix="gim-soak-") as folder:
        expected, seconds = calm(Path(folder, "calm"))
        print(
            f"undisturbed: {len(expected)} results, {seconds:.0f} s to train",
            flush=True,
        )
        while time.monotonic() < end:
            rounds += 1
            place = Path(folder, f"round {rounds}")
            generator = random.Random(f"{options.seed} {rounds}")
            print(f"round {rounds}", flush=True)
            with disk(place):
                one = Round(place, generator, seconds)
                lost = attempt(one, deck, expected, counts)
                if lost:
                    wrong += 1
                    kept = KEPT / f"seed {options.seed} round {rounds}"
                    shutil.copytree(place, kept, dirs_exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)
    return told(counts, rounds, wrong, options)


def attempt(
    one: Round,
    deck: Deck,
    expected: dict[str, str],
    counts: Counter[tuple[str, str]],
) -> list[str]:
    """As `disturbed`, and prints what went wrong."""
    try:
        lost = disturbed(one, deck, expected, counts)
    except (SoakError, subprocess.TimeoutExpired) as error:
        print(f"  WRONG: {error}", flush=True)
        return [str(error)]
    print(f"  LOST: {', '.join(lost)}" if lost else "  equal", flush=True)
    return lost


def told(
    counts: Counter[tuple[str, str]], rounds: int, wrong: int, options: Any
) -> int:
    """Prints the summary; returns the exit code."""
    lines = [f"{'fault':16}{'outcome':36}times"]
    for (name, outcome), times in sorted(counts.items()):
        lines.append(f"{name:16}{outcome:36}{times:5}")
    said = (
        f"Seed {options.seed}, {options.minutes:g} minutes: {rounds} rounds, "
        f"{sum(counts.values())} faults, {rounds - wrong} rounds equal to the "
        f"undisturbed run, {wrong} not."
    )
    print("\n".join(["", *lines, "", said]))
    if options.page:
        block = "\n".join(["```", *lines, "```"])
        write_block("soak", f"{said}\n\n{block}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
