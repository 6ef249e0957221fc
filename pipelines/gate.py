"""The data gate: what must hold before anything is trained on the records.

TFX's ExampleValidator reports anomalies and goes on, and an empty split has
none; this is what stops.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2

from gim_tf.config import DataConfig, check_labels
from gim_tf.data import corpus
from gim_tf.data.records import (
    UNLABELLED,
    Rejected,
    check_counts,
    check_rejected,
    label_range,
)
from gim_tf.errors import DataError
from pipelines.ingest import DUPLICATES_FILE, REJECTED_DIR

_LISTED = 100


class Counted(NamedTuple):
    """How often a feature of labels occurs in one split.

    Attributes:
      examples: how many have any.
      labels: how often each value occurs.
    """

    examples: int
    labels: Mapping[int, int]


class Findings(NamedTuple):
    """What ingest, statistics and validation say of the records.

    Attributes:
      corpus: the names that the source gives, see `gim_tf.data.corpus`.
      labels: for each split, the number of examples of each label.
      frames: for each split, its frame labels.
      anomalies: for each split, a line an anomaly.
      rejected: the first hundred examples that could not be read.
      num_rejected: how many could not be read.
      duplicates: some ids that occur more than once.
      listing: where all rejected examples are listed.
    """

    corpus: Mapping[str, Any]
    labels: Mapping[str, Mapping[int, int]]
    frames: Mapping[str, Counted]
    anomalies: Mapping[str, list[str]]
    rejected: list[Rejected]
    num_rejected: int
    duplicates: list[str]
    listing: str


def collect(
    data: DataConfig, *, examples: str, statistics: str, anomalies: str
) -> Findings:
    """Reads the findings from the three artifacts' folders."""
    listing = os.path.join(examples, REJECTED_DIR)
    rejected, num_rejected = _rejected(listing)
    counted = {
        name: {s: _counted(statistics, s, name) for s in data.splits}
        for name in ("label", "frame_labels")
    }
    return Findings(
        corpus=corpus.read_corpus(examples),
        labels={s: found.labels for s, found in counted["label"].items()},
        frames=counted["frame_labels"],
        anomalies={s: _anomalies(anomalies, s) for s in data.splits},
        rejected=rejected,
        num_rejected=num_rejected,
        duplicates=_duplicates(listing),
        listing=listing,
    )


def check(
    data: DataConfig, findings: Findings, *, tasks: Sequence[str] = ()
) -> None:
    """Raises `DataError` for the first condition that does not hold.

    In this order: unreadable examples, ids that repeat, a split too small or
    lacking a class, labels outside the contract, other anomalies. Where the
    configuration names no classes, those of the source are checked.

    Args:
      data: the configuration.
      findings: what is known of the records.
      tasks: of the probes, which come behind the training and are not to fail
        for want of labels then.

    Raises:
      ConfigError: a task has no labels in these data.
    """
    data = corpus.named(data, findings.corpus)
    check_rejected(
        data, findings.rejected, findings.num_rejected, findings.listing
    )
    if findings.duplicates:
        raise DataError(
            "Each id must occur once in a source, received repeated ones: "
            f"{', '.join(findings.duplicates[:3])}. Remove the copies."
        )
    check_counts(data, findings.labels)
    _check_labels(data, findings.labels)
    _check_frames(data, findings.frames)
    _check_anomalies(findings.anomalies)
    check_labels(tasks, data)
    if "phone" in tasks:
        _check_framed(data, findings.frames)


def report(data: DataConfig, findings: Findings, fingerprint: str) -> str:
    """The gate's report as JSON: counts, label frequencies, rejected.

    "frame_labels" is there if any example has them: for each split, the number
    of such "examples", and "labels", how often each occurs. "corpus" is what
    ingest found, for the components behind the gate.
    """
    data = corpus.named(data, findings.corpus)
    content: dict[str, Any] = {
        "fingerprint": fingerprint,
        "counts": {s: sum(c.values()) for s, c in findings.labels.items()},
        "labels": {
            split: _by_name(count, data.class_names)
            for split, count in findings.labels.items()
        },
        "num_rejected": findings.num_rejected,
        "rejected": [bad._asdict() for bad in findings.rejected],
        "corpus": findings.corpus,
    }
    if any(found.examples for found in findings.frames.values()):
        content["frame_labels"] = {
            split: {
                "examples": found.examples,
                "labels": _by_name(found.labels, data.frame_names),
            }
            for split, found in findings.frames.items()
        }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _by_name(counts: Mapping[int, int], names: Sequence[str]) -> dict[str, int]:
    known = dict(enumerate(names))
    return {known.get(k, str(k)): v for k, v in sorted(counts.items())}


def _check_labels(
    data: DataConfig, labels: Mapping[str, Mapping[int, int]]
) -> None:
    for split in data.splits:
        probed = split in (data.train_split, data.test_split)
        lowest = 0 if probed and split != UNLABELLED else -1
        highest = data.max_label
        for label, count in sorted(labels[split].items()):
            too_high = highest is not None and label > highest
            if label < lowest or too_high:
                raise DataError(
                    f"Split {split!r} has {count} example(s) with label "
                    f"{label}, expected {label_range(lowest, highest)} (-1: "
                    "unlabelled, in a split that no probe reads). Mend the "
                    "labels or data.class_names."
                )


def _check_frames(data: DataConfig, frames: Mapping[str, Counted]) -> None:
    highest = len(data.frame_names) - 1
    expected = (
        label_range(0, highest, "frame_names") if highest >= 0 else "none"
    )
    for split, found in frames.items():
        for label, count in sorted(found.labels.items()):
            if not 0 <= label <= highest:
                raise DataError(
                    f"Split {split!r} has frame label {label}, {count} "
                    f"time(s), expected {expected}. Mend the labels or "
                    "data.frame_names."
                )


def _check_framed(data: DataConfig, frames: Mapping[str, Counted]) -> None:
    for split in (data.train_split, data.test_split):
        if not frames[split].examples:
            raise DataError(
                f"No example of split {split!r} has frame labels, which task "
                "'phone' needs. Add them, or leave the task out, "
                "probe.tasks=['speaker']."
            )


def _check_anomalies(anomalies: Mapping[str, list[str]]) -> None:
    found = [
        f"split {split!r}, {line}"
        for split, lines in anomalies.items()
        for line in lines
    ]
    if found:
        raise DataError(
            f"The records do not match the schema in {len(found)} point(s), "
            f"the first: {found[0]} Mend the source, or change "
            "pipelines/schema/records.pbtxt with the records."
        )


def _counted(statistics: str, split: str, name: str) -> Counted:
    path = os.path.join(statistics, f"Split-{split}", "FeatureStats.pb")
    datasets = tfdv.load_stats_binary(path).datasets
    for feature in (f for d in datasets for f in d.features):
        if list(feature.path.step) == [name]:
            stats = feature.string_stats
            buckets = stats.rank_histogram.buckets
            return Counted(
                stats.common_stats.num_non_missing,
                {int(b.label): int(b.sample_count) for b in buckets},
            )
    return Counted(0, {})


def _anomalies(directory: str, split: str) -> list[str]:
    path = os.path.join(directory, f"Split-{split}", "SchemaDiff.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        anomalies = anomalies_pb2.Anomalies.FromString(file.read())
    return [
        f"feature {name!r}: {info.description}"
        for name, info in sorted(anomalies.anomaly_info.items())
    ]


def _rejected(listing: str) -> tuple[list[Rejected], int]:
    first: list[Rejected] = []
    count = 0
    for path in sorted(tf.io.gfile.glob(os.path.join(listing, "*.jsonl"))):
        with tf.io.gfile.GFile(path) as file:
            for line in file:
                count += 1
                if len(first) < _LISTED:
                    first.append(Rejected(**json.loads(line)))
    return first, count


def _duplicates(listing: str) -> list[str]:
    path = os.path.join(listing, DUPLICATES_FILE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        return json.loads(file.read())
