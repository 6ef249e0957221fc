"""Records once a data set: made in a process of its own, linked by the runs.

`python -m gim_tf.studies.ingesting` reads one request from standard input.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from gim_tf import config
from gim_tf.config import Experiment
from gim_tf.errors import GimError

_FACTS = "ingest.json"


def records_name(experiment: Experiment) -> str:
    """A folder name that changes with any setting of the data."""
    return f"{experiment.data.source}-{config.fingerprint(experiment.data)}"


def request(experiment: Experiment, directory: Path) -> str:
    """What the process is told to ingest, and where."""
    asked = {
        "experiment": config.to_dict(experiment),
        "directory": str(directory),
    }
    return json.dumps(asked)


def command() -> list[str]:
    """The process."""
    return [sys.executable, "-m", __name__]


def link(shared: Path, own: Path) -> None:
    """Gives a run the records, by hard links, unless it has the same already.

    The job `ingest` of the run compares them with its source once more, and
    replaces what differs: links, not the files that others have.
    """
    if _content(shared / _FACTS) == _content(own / _FACTS):
        return
    partial = own.with_name(f"{own.name}.partial")
    for folder in (partial, own):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shared, partial, copy_function=_link)
    partial.rename(own)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without them
        shutil.copy2(source, target)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _main() -> int:
    from gim_tf import jobs

    asked = json.load(sys.stdin)
    try:
        jobs.ingest(config.from_dict(asked["experiment"]), asked["directory"])
    except GimError as error:
        sys.stderr.write(f"gim: error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_main())
