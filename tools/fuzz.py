"""Gives damaged files to every reader, and keeps what they could not bear.

    .venv/bin/python tools/fuzz.py [--seconds 60] [--seed 0] [--only idx ...]

Each reader gets valid files with small damages, made from a seed: the same
seed makes the same files in the same order. An input is read, rejected by
name, or refused with a `GimError`. A finding is anything else: another
exception, an end of the process, more than 10 s for one file, or 1 GiB of
memory more. Its file and the traceback are kept in outputs/fuzz/. Each reader
runs in a process of its own, and its share of the seconds begins when it is
loaded. Prints one table; ends with 1 if there were findings.
"""

import argparse
import faulthandler
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOUND = ROOT / "outputs" / "fuzz"
OUTCOMES = ("read", "rejected", "refused", "findings")
HANGS = 10.0  # seconds; the slowest valid file takes 0.1
MEMORY = 2**20  # KiB
MOST_FINDINGS = 5  # of one reader, after which it ends
_CURRENT = "current.bin"


def main() -> int:
    """Runs the readers one after the other and prints their counts."""
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of readers")
    parser.add_argument(
        "--page", action="store_true", help="write docs/reliability.md"
    )
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, folder = options.child
        fuzz(name, options.seconds, options.seed, Path(folder))
        return 0
    from tools.fuzz_readers import targets
    from tools.pages import write_block

    names = options.only or list(targets())
    lines = [f"{'reader':28}" + "".join(f"{o:>10}" for o in OUTCOMES)]
    print(lines[0], flush=True)
    total: Counter[str] = Counter()
    for name in names:
        counts = _in_process(name, options.seconds / len(names), options.seed)
        total.update(counts)
        lines.append(_row(name, counts))
        print(lines[-1], flush=True)
    lines.append(_row("all", total))
    print(lines[-1])
    if options.page:
        said = f"Seed {options.seed}, {options.seconds:g} s in all:\n\n"
        write_block("fuzz", said + "\n".join(["```", *lines, "```"]))
    if total["findings"]:
        print(f"fuzz: what was found is in {FOUND}", file=sys.stderr)
    return 1 if total["findings"] else 0


def fuzz(name: str, seconds: float, seed: int, folder: Path) -> Counter[str]:
    """Fuzzes one reader; writes its counts to `folder`/counts.json."""
    from tools.fuzz_readers import targets

    target = targets()[name]()
    for content in target.seeds:
        _fresh(folder / "in")
        if target.read(content, folder / "in") != "read":
            raise ValueError(f"a file for {name!r} is not valid")
    counts: Counter[str] = Counter()
    generator = random.Random(f"{name} {seed}")
    end = time.monotonic() + seconds
    while time.monotonic() < end and counts["findings"] < MOST_FINDINGS:
        content = _made(target, generator)
        (folder / _CURRENT).write_bytes(content)
        faulthandler.dump_traceback_later(HANGS, exit=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            counts[one(target, content, folder / "in")] += 1
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            if used > MEMORY:
                raise MemoryError(f"{used // 1024} MiB for one file")
        except Exception:
            counts["findings"] += 1
            keep(name, content, traceback.format_exc())
        finally:
            faulthandler.cancel_dump_traceback_later()
        (folder / "counts.json").write_text(json.dumps(counts))
    return counts


def one(target: Any, content: bytes, folder: Path) -> str:
    """What became of one file: "read", "rejected" or "refused"."""
    from gim_tf.errors import GimError

    _fresh(folder)
    try:
        return target.read(content, folder)
    except GimError as error:
        if "\n" in str(error):
            raise AssertionError("the message has several lines") from error
        return "refused"


def keep(name: str, content: bytes, why: str) -> None:
    """Keeps a file and the reason beside it, named by the content."""
    FOUND.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(content).hexdigest()[:12]
    stem = f"{name.replace(' ', '_')}-{digest}"
    (FOUND / f"{stem}.bin").write_bytes(content)
    (FOUND / f"{stem}.txt").write_text(why)
    last = why.strip().splitlines()[-1]
    print(f"  {stem}: {last}", file=sys.stderr, flush=True)


def _made(target: Any, generator: random.Random) -> bytes:
    from tools.fuzz_files import damaged

    content = generator.choice(target.seeds)
    if target.inner is None or generator.random() < 0.3:
        return damaged(content, generator, target.seeds)
    unpack, pack = target.inner
    others = [unpack(other) for other in target.seeds]
    return pack(damaged(unpack(content), generator, others))


def _in_process(name: str, seconds: float, seed: int) -> Counter[str]:
    """The counts of a reader; an end without them is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-W", "ignore", __file__),
            *("--seconds", str(seconds)),
            *("--seed", str(seed), "--child", name, folder),
        ]
        done = subprocess.run(
            command, cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True
        )
        written, current = Path(folder, "counts.json"), Path(folder, _CURRENT)
        counts = Counter(
            json.loads(written.read_text()) if written.is_file() else {}
        )
        for line in done.stderr.splitlines():
            if line.startswith("  "):
                print(line, file=sys.stderr)
        if done.returncode:
            counts["findings"] += 1
            content = current.read_bytes() if current.is_file() else b""
            said = "\n".join(done.stderr.splitlines()[-40:])
            keep(name, content, f"{said}\nended with {done.returncode}")
    return counts


def _fresh(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)


def _row(name: str, counts: Counter[str]) -> str:
    return f"{name:28}" + "".join(f"{counts[o]:>10}" for o in OUTCOMES)


if __name__ == "__main__":
    sys.exit(main())
