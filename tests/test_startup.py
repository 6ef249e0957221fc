"""What starts quickly loads little: counted in modules, not in seconds."""

import subprocess
import sys

import pytest

from tests.test_architecture import ROOT

# Each takes more time to import than the whole of `gim --help` (0.1 s).
HEAVY = {
    *("tensorflow", "keras", "tfx", "apache_beam", "kfp", "ml_metadata"),
    *("matplotlib", "numpy", "scipy", "pyarrow", "PIL", "jinja2", "requests"),
}
PIPELINE = {"tfx", "tfx_bsl", "apache_beam", "kfp", "ml_metadata"}
# 189 of Python's and ours; NumPy alone would bring 150 more.
MOST_MODULES = 280


def loaded(code):
    """Names of all modules in a process that has run `code`."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nimport sys; print('LOADED', *sys.modules)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    assert lines[-1].startswith("LOADED "), done.stderr
    return lines[-1].split()[1:]


def packages(modules):
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["bench", "--help"],
        ["study", "--help"],
        ["study", "--list"],
        ["experiments"],
        ["experiments", "--json"],
        # Refused before anything is loaded that the refusal does not need.
        ["run", "--experiment", "fashion_mnist", "--output-dir", "unused"],
    ],
    ids=" ".join,
)
def test_what_only_tells_loads_next_to_nothing(arguments):
    modules = loaded(
        "from gim_tf.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
    )
    assert not packages(modules) & HEAVY
    assert len(modules) < MOST_MODULES


@pytest.mark.integration
def test_jobs_and_the_settings_of_a_pipeline_load_no_tfx():
    modules = loaded(
        "import gim_tf.jobs, gim_tf.fidelity, pipelines.settings\n"
        "import pipelines.plain_errors\n"
    )
    assert not packages(modules) & PIPELINE
