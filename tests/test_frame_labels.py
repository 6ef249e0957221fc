"""A label every 10 ms: parsed, placed, checked against its recording."""

import numpy as np
import pytest
import tensorflow as tf

from gim_tf.data import alignments, records
from gim_tf.data.records import Record, Rejected
from gim_tf.errors import ConfigError, DataError
from tests.source_files import put, read
from tests.speech_files import (
    IDS,
    encode,
    flac_name,
    open_,
    samples,
    shared,
    write_tree,
)

EIGHT = 8  # labels of the 1,600 samples of each recording of a made tree


def line(name, count=EIGHT, first=0):
    return " ".join([name, *(str((first + i) % 41) for i in range(count))])


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / "dev-clean", IDS)
    return tmp_path


def label(folder, lines, name="converted_aligned_phones.txt"):
    put(folder / name, "".join(f"{one}\r\n" for one in lines).encode())


def test_phone_labels_are_parsed():
    found = alignments.parse_labels(["a-1-0 0 40 7\r\n", "\n", "b 3"], "f.txt")
    assert {key: value.tolist() for key, value in found.items()} == {
        "a-1-0": [0, 40, 7],
        "b": [3],
    }


def test_labels_are_centred_on_their_samples():
    aligned = alignments.align(400 + 2 * 160 + 159, np.array([5, 6, 7]))
    np.testing.assert_array_equal(aligned.centres, [200, 360, 520])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_two_labels_more_or_less_may_stand(count):
    aligned = alignments.align(720, np.zeros(count, np.int16))
    assert len(aligned.labels) == len(aligned.centres) == count


@pytest.mark.parametrize(("length", "count"), [(720, 0), (720, 6), (399, 1)])
def test_labels_of_another_recording_are_refused(length, count):
    with pytest.raises(DataError, match=f"for {length} .*received {count}"):
        alignments.align(length, np.zeros(count, np.int16))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("b 1 x", "line 2: label 'x' is no integer"),
        ("b 1.0", "line 2: label '1.0' is no integer"),
        ("b 41", "line 2: label '41' is out of range; expected 0 to 40"),
        ("b -1", "line 2: label '-1' is out of range"),
        ("b", "line 2: no labels behind the id"),
        (line(IDS[0]), "line 2: '9-5-0000' has labels in line 1 already"),
    ],
)
def test_D5_wrong_labels_are_named_by_line(tree, wrong, message):
    label(tree, [line(IDS[0]), wrong])
    with pytest.raises(DataError, match=rf"phones\.txt, {message}"):
        open_("librispeech", tree).work("train")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00"])
def test_D5_a_file_without_labels_is_an_error(tree, content):
    put(tree / "converted_aligned_phones.txt", content)
    with pytest.raises(DataError, match=r"txt (holds no labels|is no text)"):
        open_("librispeech", tree).work("train")


def test_D5_records_have_their_labels(tree, caplog):
    unknown = line("7-1-0000")
    lines = [line(name, first=i) for i, name in enumerate(IDS[:14])]
    label(tree, [*lines, unknown])
    source = open_("librispeech", tree, holdout=0.4)
    found = read(source, "train") + read(source, "test")
    by_id = {record.id: record.frame_labels for record in found}
    for i, name in enumerate(IDS[:14]):
        assert by_id[name] == tuple((i + t) % 41 for t in range(EIGHT))
    assert by_id[IDS[14]] == by_id[IDS[15]] == ()
    assert caplog.text.count("2 of 16 recordings have no line") == 1
    assert source.frame_names == tuple(map(str, range(41)))


def test_D5_a_number_that_cannot_be_is_rejected_by_name(tree):
    counts = (EIGHT - 3, EIGHT - 2, EIGHT + 2, EIGHT + 3)
    label(tree, [line(n, c) for n, c in zip(IDS, counts, strict=False)])
    found = {one.id: one for one in read(open_("librispeech", tree), "train")}
    for name, count in zip(IDS, counts, strict=False):
        if abs(count - EIGHT) <= 2:
            assert len(found[name].frame_labels) == count
            continue
        assert isinstance(found[name], Rejected)
        assert "expected 8 labels for 1600 samples" in found[name].reason
        assert str(count) in found[name].reason
    with pytest.raises(DataError, match=r"2 unreadable.*max_bad allows 1"):
        records.write_records(
            open_("librispeech", tree, max_bad=1, test_split="train"),
            tree / "out",
        )


def test_labels_count_the_samples_that_are_stored(tmp_path):
    put(tmp_path / flac_name(IDS[0]), encode(samples(800), rate=8000))
    label(tmp_path, [line(IDS[0])])
    source = open_("librispeech", tmp_path, resample=True)
    (record,) = read(source, "train")
    assert len(record.frame_labels) == EIGHT


def test_names_are_those_given_or_those_beside_the_labels(tree):
    label(tree, [line(IDS[0], EIGHT)])
    put(tree / "phones.txt", b"\n".join(b"p%d" % i for i in range(EIGHT)))
    source = open_("librispeech", tree)
    assert source.frame_names == tuple(f"p{i}" for i in range(EIGHT))
    given = tuple("abcdefgh")
    assert open_("librispeech", tree, frame_names=given).frame_names == given
    source = open_("librispeech", tree, frame_names=given[:-1])
    with pytest.raises(DataError, match="'7' is out of range; expected 0 to 6"):
        source.work("train")
    put(tree / "phones.txt", b"a b a")
    with pytest.raises(DataError, match="name each frame label once"):
        open_("librispeech", tree).work("train")


def test_a_file_may_lie_anywhere_and_is_part_of_the_fingerprint(tree, tmp_path):
    elsewhere = tmp_path / "labels" / "mine.txt"
    label(elsewhere.parent, [line(IDS[0])], "mine.txt")
    bare = open_("librispeech", tree / "dev-clean").fingerprint()
    source = open_(
        "librispeech", tree / "dev-clean", frame_labels=str(elsewhere)
    )
    first = source.fingerprint()
    assert sum(bool(r.frame_labels) for r in read(source, "train")) == 1
    label(elsewhere.parent, [line(IDS[1])], "mine.txt")
    assert len({bare, first, source.fingerprint()}) == 3
    with pytest.raises(DataError, match=r"'no\.txt' is no file, and none in"):
        open_("librispeech", tree, frame_labels="no.txt").work("train")


def test_other_sources_refuse_frame_labels(tree):
    with pytest.raises(ConfigError, match=r"cannot follow data\.frame_labels"):
        open_("sounds", tree, frame_labels="any.txt")


def test_labels_survive_the_round_trip():
    made = [
        Record("a", 0, "train", b"", (3, 1, 2)),
        Record("b", 0, "train", b""),
    ]
    parsed = records.parse(tf.constant([records.to_example(r) for r in made]))
    assert parsed["frame_labels"].numpy().tolist() == [[3, 1, 2], [-1] * 3]


def test_real_speech_with_phone_labels(tmp_path):
    archive = shared("cpc-librispeech-fixture.tar.gz")
    source = open_(
        "librispeech",
        archive,
        frame_labels="phone_labels.txt",
        min_samples=20_480,
    )
    found = read(source, "train")
    assert len(found) == 9
    assert sorted(
        len(record.frame_labels) for record in found if record.frame_labels
    ) == [508, 1119]
