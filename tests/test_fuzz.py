"""The fuzzer itself: what it counts, what it finds, and that it repeats.

`make fuzz` runs it for longer.
"""

import random
from collections import Counter

import pytest

from gim_tf.errors import DataError
from tools import fuzz, fuzz_files
from tools.fuzz_readers import Target, targets

CHEAP = ("phones", "weights .npz", "manifest.json", "run directory")


def refuse(content, folder):
    raise DataError("in one line")


def fail(content, folder):
    if content[:1] != b"a":
        raise KeyError("no GimError")
    return "read"


def test_outcomes_are_told_apart(tmp_path):
    def outcome(reader):
        return fuzz.one(Target([b"a"], reader), b"x", tmp_path / "in")

    assert outcome(lambda content, folder: "rejected") == "rejected"
    assert outcome(refuse) == "refused"
    with pytest.raises(KeyError):
        outcome(fail)


def test_findings_are_kept_and_end_a_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "FOUND", tmp_path / "found")
    monkeypatch.setattr("tools.fuzz_readers.targets", lambda: {"x": made})
    counts = fuzz.fuzz("x", 60.0, 0, tmp_path)
    assert counts["findings"] == fuzz.MOST_FINDINGS
    kept = sorted((tmp_path / "found").iterdir())
    for file in (path for path in kept if path.suffix == ".bin"):
        assert file.read_bytes()[:1] != b"a"
        assert "no GimError" in file.with_suffix(".txt").read_text()


def made():
    return Target([b"abc" * 9], fail)


def test_the_same_seed_damages_alike():
    def some(seed):
        generator = random.Random(seed)
        return [
            fuzz_files.damaged(b"abc" * 99, generator, [b"xyz"])
            for _ in range(200)
        ]

    assert some(1) == some(1)
    assert some(1) != some(2)
    assert sum(one != b"abc" * 99 for one in some(1)) > 150


@pytest.mark.parametrize("name", CHEAP)
def test_some_damaged_files_end_well(name, tmp_path):
    check(name, 20, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", targets())
def test_many_damaged_files_end_well(name, tmp_path):
    check(name, 200, tmp_path)


def check(name, times, folder):
    target = targets()[name]()
    generator = random.Random(name)
    counts = Counter(
        fuzz.one(target, fuzz._made(target, generator), folder / "in")
        for _ in range(times)
    )
    assert sum(counts.values()) == times
    assert counts["read"] < times
