"""The data gate on made findings; the pipeline tests feed it real ones."""

import dataclasses
import json

import pytest

from gim_tf.data.records import Rejected
from gim_tf.errors import ConfigError, DataError

pytestmark = pytest.mark.pipeline

EACH = dict.fromkeys(range(10), 3)


def findings(**changes):
    from pipelines.gate import Findings

    sound = Findings(
        corpus={},
        frames={},
        labels={"train": EACH, "test": EACH},
        anomalies={"train": [], "test": []},
        rejected=[],
        num_rejected=0,
        duplicates=[],
        listing="rejected",
    )
    return sound._replace(**changes)


def test_sound_records_pass(tiny):
    from pipelines import gate

    gate.check(tiny.data, findings())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"train": {}, "test": EACH}}, "'train' has 0 examples"),
        ({"labels": {"train": {0: 5}, "test": EACH}}, "no example of 9 class"),
        (
            {"labels": {"train": EACH | {-1: 2}, "test": EACH}},
            "2 example.s. with label -1",
        ),
        ({"labels": {"train": EACH, "test": {10: 1}}}, "label 10"),
        ({"duplicates": ["a", "b"]}, "repeated ones: a, b"),
        (
            {"num_rejected": 1, "rejected": [Rejected("x.png", "truncated")]},
            "x.png: truncated",
        ),
        (
            {"anomalies": {"train": ["feature 'id': gone."], "test": []}},
            "feature 'id': gone.",
        ),
    ],
)
def test_D4_each_fault_stops(tiny, changes, message):
    from pipelines import gate

    with pytest.raises(DataError, match=message) as caught:
        gate.check(tiny.data, findings(**changes))
    assert "\n" not in str(caught.value)


def test_labels_may_be_missing_where_no_probe_reads(tiny):
    from pipelines import gate

    data = dataclasses.replace(tiny.data, pretrain_split="unlabelled")
    labels = {"unlabelled": {-1: 9}, "train": EACH, "test": EACH}
    anomalies = dict.fromkeys(labels, ())
    gate.check(data, findings(labels=labels, anomalies=anomalies))


def test_the_source_s_names_count_where_the_configuration_has_none(tiny):
    from pipelines import gate

    data = dataclasses.replace(tiny.data, class_names=())
    named = {"class_names": ["ann", "bob"], "frame_names": ["a", "b"]}
    labels = {"train": {0: 1}, "test": {1: 1}}
    found = findings(labels=labels, corpus=named)
    with pytest.raises(DataError, match=r"no example of 1 class.*'bob'"):
        gate.check(data, found)
    labels = {"train": {0: 1, 1: 2}, "test": {2: 1}}
    with pytest.raises(DataError, match="label 2, expected 0 to 1"):
        gate.check(data, found._replace(labels=labels))
    labels = {"train": {0: 1, 1: 2}, "test": {1: 1}}
    gate.check(data, found._replace(labels=labels))
    text = gate.report(data, found._replace(labels=labels), "f")
    content = json.loads(text)
    assert content["labels"]["train"] == {"ann": 1, "bob": 2}
    assert "frame_labels" not in content


def test_frame_labels_are_counted_and_bounded(tiny):
    from pipelines import gate

    frames = {
        "train": gate.Counted(2, {0: 30, 1: 4}),
        "test": gate.Counted(0, {}),
    }
    found = findings(corpus={"frame_names": ["a", "b"]}, frames=frames)
    gate.check(tiny.data, found)
    content = json.loads(gate.report(tiny.data, found, "f"))
    assert content["frame_labels"] == {
        "train": {"examples": 2, "labels": {"a": 30, "b": 4}},
        "test": {"examples": 0, "labels": {}},
    }
    for corpus, expected in (({"frame_names": ["a"]}, "0 to 0"), ({}, "none")):
        with pytest.raises(DataError, match=f"frame label .*{expected}"):
            gate.check(tiny.data, found._replace(corpus=corpus))


def test_what_probes_lack_is_found_before_training(tiny):
    """They come last: without labels hours of training would be lost."""
    from pipelines import gate

    framed = dict.fromkeys(("train", "test"), gate.Counted(2, {0: 30}))
    found = findings(corpus={"frame_names": ["a"]}, frames=framed)
    gate.check(tiny.data, found, tasks=["phone", "speaker"])
    bare = found._replace(frames={**framed, "test": gate.Counted(0, {})})
    gate.check(tiny.data, bare, tasks=["speaker"])
    with pytest.raises(DataError, match=r"split 'test' has frame labels"):
        gate.check(tiny.data, bare, tasks=["phone"])
    with pytest.raises(ConfigError, match="no recording has frame labels"):
        gate.check(tiny.data, findings(), tasks=["phone"])
    one = dataclasses.replace(tiny.data, class_names=())
    labels = {"train": {0: 1}, "test": {0: 1}}
    alone = findings(labels=labels, corpus={"class_names": ["ann"]})
    gate.check(one, alone)
    with pytest.raises(ConfigError, match=r"1 speaker"):
        gate.check(one, alone, tasks=["speaker"])
