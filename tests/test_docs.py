"""What the pages tell people to type: commands that exist, files that are."""

import re
import shlex
from pathlib import Path

import pytest

from gim_tf import config, experiments
from gim_tf.cli import arguments

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / "serving").glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
]
GIM = re.compile(r"^(?:\.venv/bin/)?gim (.*)$")


def commands(page):
    """Words behind `gim` of all whole commands in blocks of code."""
    is_code = False
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            is_code = not is_code
        found = GIM.match(line.strip())
        if is_code and found and "..." not in line:
            yield shlex.split(found[1], comments=True)


def typed():
    return [
        pytest.param(words, id=f"{page.stem}-{' '.join(words)[:60]}")
        for page in PAGES
        for words in commands(page)
        # Names in capitals stand for what a reader puts there.
        if words and not words[0].isupper() and "NAME" not in words
    ]


@pytest.mark.parametrize("words", typed())
def test_a_command_is_one_that_is_understood(words):
    options = arguments.parse(words)
    name = getattr(options, "experiment", None)
    if name:
        config.resolve(experiments.get(name), options.set)


def test_beam_s_flags_are_not_taken_for_ours():
    words = ["run", "--experiment", "flite_gim", "--beam-args", "--runner=X -y"]
    options = arguments.parse(words)
    assert (options.beam_args, options.runner) == ("--runner=X -y", "local")


def test_there_are_many():
    assert len(typed()) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
    missing = [
        link
        for link in links
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert not missing
