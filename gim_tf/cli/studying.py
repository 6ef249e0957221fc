"""`gim study`: a table or figure of the paper, from runs, and how it goes."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from gim_tf import studies
from gim_tf.cli import shared
from gim_tf.cli.printing import print_table, say
from gim_tf.cli.shared import disk_path
from gim_tf.errors import ConfigError, DataError, StudyError
from gim_tf.studies import sweeps
from gim_tf.studies.planning import Request
from gim_tf.studies.running import Failure
from gim_tf.studies.schema import Study

_PROBING = "probe"


def add_study(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "study",
        study,
        "make a table or figure of the paper: train, probe, compare",
        "gim study --list",
        "gim study accuracy --dataset fashion_mnist --seeds 0,1,2 "
        "--output-dir outputs/fashion_mnist",
        "gim study accuracy --dataset flite --seeds 0,1,2 "
        "--output-dir outputs/flite --jobs 2",
        "gim study accuracy --systems gim,cpc --output-dir outputs/pair",
        "gim study my_sweep.json --output-dir outputs/sweep",
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="NAME",
        help="see --list; or a JSON file of a sweep of your own",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the studies, and end"
    )
    _add_what(parser)
    parser.add_argument(
        "--output-dir",
        type=disk_path,
        metavar="DIR",
        help="runs, records and results; studies of one data set share runs in "
        "it, and a finished run is never repeated",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="runs at once, which divide the cores; by default as many as "
        "cores and memory allow",
    )
    shared.add_set(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="a last line for machines: the content of results.json",
    )


def _add_what(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose the runs."""
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="the first word(s) of its experiments, such as fashion_mnist; by "
        "default the study's first",
    )
    parser.add_argument(
        "--data", metavar="PATH", help="same as --set data.path=PATH"
    )
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=(0,),
        metavar="N,N,...",
        help="one run a seed and system; 0 by default",
    )
    parser.add_argument(
        "--systems",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="NAME,...",
        help="the only ones; by default all that fit the data set",
    )


def study(options: argparse.Namespace) -> None:
    """Makes what is missing, and writes all tables and figures again."""
    if options.list:
        _list(as_json=options.json)
        return
    request = _request(options)
    from gim_tf.studies.conducting import conduct

    outcome = conduct(request, jobs=options.jobs, progress=_Lines())
    if not options.json:
        for table in outcome.content["tables"]:
            print(f"\n{table['title']}")
            print_table(
                [
                    dict(zip(table["header"], r, strict=True))
                    for r in table["rows"]
                ]
            )
        print(f"\nResults: {request.results}")
    else:
        print(json.dumps(outcome.content), flush=True)
    if outcome.failures:
        for failure in outcome.failures:
            say(f"failed: {failure.label}: {failure.line} ({failure.log})")
        raise StudyError(
            f"{len(outcome.failures)} of {outcome.total} runs failed; the "
            "others are in the results. Run again to try these again."
        )


def _list(*, as_json: bool) -> None:
    found = [studies.get(name) for name in studies.names()]
    rows = [
        {
            "name": one.name,
            "makes": one.summary,
            "data sets": ", ".join(one.datasets),
            "cost": one.cost,
        }
        for one in found
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)


def _request(options: argparse.Namespace) -> Request:
    if options.name is None or options.output_dir is None:
        raise ConfigError(
            "`gim study` needs NAME and --output-dir; `gim study --list` "
            "lists the names."
        )
    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs must be 1 or more, received {options.jobs}.")
    try:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"Cannot create {options.output_dir}: {error.strerror}."
        ) from error
    return Request(
        study=_study(options.name),
        dataset=options.dataset,
        data=options.data,
        seeds=options.seeds,
        overrides=tuple(options.set),
        systems=options.systems,
        directory=options.output_dir,
    )


def _study(name: str) -> Study:
    if name.endswith(".json"):
        return sweeps.read(Path(name))
    return studies.get(name)


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(number) for number in text.split(",")))


class _Lines:
    """One line a run: bars on a terminal, else a line at both ends."""

    def __init__(self) -> None:
        self._bars: dict[str, tqdm] = {}
        self._began: dict[str, float] = {}
        self._done, self._total, self._jobs = 0, 0, 1
        self._here = 0  # ended in this process
        self._start = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def begin(self, done: int, total: int, jobs: int) -> None:
        """Says what is there already."""
        self._done, self._total, self._jobs = done, total, jobs
        self._start = time.monotonic()
        if done < total:
            say(f"{done} of {total} done; {jobs} at once.")

    def started(self, label: str, steps: int) -> None:
        """Opens the run's line."""
        self._began[label] = time.monotonic()
        if self._is_terminal:
            self._bars[label] = tqdm(
                desc=label, total=steps or None, unit="step", leave=False
            )
        else:
            say(f"{label}: started")

    def at(self, label: str, stage: str, step: int) -> None:
        """Moves the run's line."""
        bar = self._bars.get(label)
        if bar is None:
            return
        if bar.n == 0 and step:  # a resumed run began elsewhere
            bar.initial = step
        bar.n = step
        bar.set_postfix_str("probing" if stage == _PROBING else "")

    def ended(self, label: str, failure: Failure | None) -> None:
        """Closes the run's line."""
        if label in self._bars:
            self._bars.pop(label).close()
        self._here += 1
        seconds = time.monotonic() - self._began.pop(label)
        if failure is not None:
            say(f"{label}: FAILED: {failure.line}")
            return
        self._done += 1
        say(
            f"{label}: done in {_duration(seconds)} ({self._done} of "
            f"{self._total}{self._left()})"
        )

    def _left(self) -> str:
        """When all will have ended, if the rest is as what has ended here."""
        left = self._total - self._done
        if not left:
            return ""
        pace = (time.monotonic() - self._start) / self._here
        return f", about {_duration(pace * left)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
