"""`gim bench probe`: what probing an encoder costs, part by part.

With the network as it was before its first step: the cost is the same. The job
`probe` does all of it twice, for the trained network and for this control, and
probes the inputs as they are, too.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gim_tf import config, jobs
from gim_tf.bench import machine
from gim_tf.config import Experiment, ProbeConfig, SequenceProbeConfig
from gim_tf.data.corpus import read_corpus
from gim_tf.data.records import record_files
from gim_tf.jobs import probing_examples, probing_sequences
from gim_tf.probes import evaluation
from gim_tf.probes.sequences import Rows


class Part(NamedTuple):
    """One part of a probe.

    Attributes:
      part: what was done: "features", "linear", "linear, grid", "kNN", or of
        sequences "phone: features", "phone: heads", ...
      module: of which module; None: of all at once.
      examples: of both splits, whatever the number of epochs.
      seconds: wall time.
    """

    part: str
    module: str | None
    examples: int
    seconds: float


def measure(
    experiment: Experiment, records: str | Path | None, *, threads: int = 0
) -> dict[str, Any]:
    """Times a probe of every module.

    Args:
      experiment: decides network, data and probes.
      records: see `gim_tf.bench.data.measure`.
      threads: see `gim_tf.bench.machine.set_threads`.

    Returns:
      Ready for JSON: "parts", each with the fields of `Part` and
      "examples_per_second"; "seconds", their sum.
    """
    threads = machine.set_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(records or f"{scratch}/records")
        jobs.ingest(experiment, directory)
        experiment = config.completed(experiment, read_corpus(directory))
        data = experiment.data
        parts = _KINDS[type(experiment.probe)](
            experiment,
            record_files(directory, data.train_split),
            record_files(directory, data.test_split),
        )
    return {
        "bench": "probe",
        "experiment": experiment.name,
        "threads": threads,
        "seconds": sum(part.seconds for part in parts),
        "parts": [
            {
                **part._asdict(),
                "examples_per_second": part.examples / part.seconds,
            }
            for part in parts
        ],
        "machine": machine.describe(),
    }


def _of_examples(
    experiment: Experiment,
    train_files: Sequence[str],
    test_files: Sequence[str],
) -> list[Part]:
    splits = probing_examples.Splits(experiment, train_files, test_files)
    settings = splits.settings
    encode = probing_examples.untrained(experiment)
    (train, test), seconds = _timed(splits.represent, encode)
    count = len(train.labels) + len(test.labels)
    parts = [Part("features", None, count, seconds)]
    for name in train.pooled:
        for part, rows in (
            ("linear", train.pooled),
            ("linear, grid", train.grid),
        ):
            if name in rows:
                fit = rows[name], train.labels, settings
                seconds = _timed(evaluation.fit, *fit)[1]
                parts.append(Part(part, name, count, seconds))
        seconds = _timed(evaluation.nearest, name, train, test, settings)[1]
        parts.append(Part("kNN", name, count, seconds))
    return parts


def _of_sequences(
    experiment: Experiment,
    train_files: Sequence[str],
    test_files: Sequence[str],
) -> list[Part]:
    splits = probing_sequences.Splits(experiment, train_files, test_files)
    encode = probing_sequences.untrained(experiment)
    parts = []
    for task in splits.probe.tasks:
        of = probing_sequences.measured(splits, task)
        (train, test), seconds = _timed(
            of.collect, probing_sequences.UNTRAINED, encode
        )
        count = len(train.labels) + len(test.labels)
        parts.append(Part(f"{task}: features", None, count, seconds))
        for name in train.features:
            one = _only(train, name), _only(test, name)
            seconds = _timed(of.score, *one)[1]
            parts.append(Part(f"{task}: heads", name, count, seconds))
    return parts


_KINDS: dict[type, Callable[..., list[Part]]] = {
    ProbeConfig: _of_examples,
    SequenceProbeConfig: _of_sequences,
}


def _only(rows: Rows, name: str) -> Rows:
    return rows._replace(features={name: rows.features[name]})


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    found = function(*arguments)
    return found, time.perf_counter() - started
