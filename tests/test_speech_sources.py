"""Recordings: what is read, in which split, and what is refused and why."""

import dataclasses
import io
import json
import struct
import tarfile

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from gim_tf import config, experiments
from gim_tf.data import windows
from gim_tf.data.records import Record, Rejected, check_label, write_records
from gim_tf.data.sources import ogg
from gim_tf.data.sources.verify import UnreadableError
from gim_tf.data.sources.verify_recording import Wanted, verified_recording
from gim_tf.errors import ConfigError, DataError
from tests.source_files import put, read
from tests.speech_files import (
    IDS,
    LEAST,
    encode,
    open_,
    samples,
    shared,
    write_tree,
)

VIEW = dataclasses.replace(
    experiments.get("librispeech_gim").view, length=LEAST
)


@pytest.fixture
def tree(tmp_path):
    write_tree(tmp_path / "LibriSpeech" / "dev-clean", IDS[:8])
    write_tree(tmp_path / "LibriSpeech" / "dev-other", IDS[8:])
    put(tmp_path / "LibriSpeech" / "README.TXT", b"words")
    put(tmp_path / "LibriSpeech" / "dev-clean" / "9" / "._x.flac", b"hidden")
    return tmp_path


@pytest.mark.parametrize("below", ["", "LibriSpeech"])
def test_a_tree_is_read_whole_and_speakers_are_the_classes(tree, below):
    source = open_("librispeech", tree / below)
    records = read(source, "train")
    assert sorted(record.id for record in records) == sorted(IDS)
    assert source.class_names == ("10", "9")
    for record in records:
        assert record.label == (0 if record.id.startswith("10-") else 1)
        (file,) = tree.rglob(f"{record.id}.flac")
        assert record.encoded == file.read_bytes()


def test_a_subset_alone_has_labels_of_its_own(tree):
    source = open_("librispeech", tree / "LibriSpeech" / "dev-clean")
    records = read(source, "train")
    assert {record.label for record in records} == {0}
    assert len(records) == 8


def test_configured_class_names_decide_the_labels(tree):
    records = read(open_("librispeech", tree, ("9", "10", "11")), "train")
    assert all(r.label == (r.id.split("-")[0] == "10") for r in records)
    with pytest.raises(DataError, match=r"1 speaker.*the first is '10'"):
        read(open_("librispeech", tree, ("9", "11")), "train")


def test_D8_a_held_out_utterance_is_in_one_split(tree):
    source = open_("librispeech", tree, holdout=0.4)
    train, test = (
        {r.id for r in read(source, split)} for split in ("train", "test")
    )
    assert train | test == set(IDS)
    assert not train & test
    assert train
    assert test


def write_lists(folder, train, test):
    put(folder / "train_split.txt", "\r\n".join(train).encode())
    put(folder / "test_split.txt", ("\n".join(test) + "\n\n").encode())


@pytest.mark.parametrize("below", ["", "LibriSpeech"])
def test_the_lists_divide_and_what_they_lack_is_left_out(tree, below, caplog):
    write_lists(tree / "LibriSpeech", IDS[:9], IDS[9:15])
    source = open_("librispeech", tree / below, holdout=0.5)
    for split, ids in (("train", IDS[:9]), ("test", IDS[9:15])):
        assert sorted(r.id for r in read(source, split)) == sorted(ids)
    assert "1 of 16 recordings are in neither" in caplog.text


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (IDS[:2], IDS[1:], "'9-5-0001' is listed 2 times"),
        (IDS[:2] * 2, IDS[2:], "'9-5-0000' is listed 2 times"),
        ([*IDS[:2], "7-1-0000"], IDS[2:], "the first is '7-1-0000'"),
        (IDS, [], "test_split.txt lists no utterance"),
    ],
)
def test_wrong_lists_are_named(tree, train, test, message):
    write_lists(tree / "LibriSpeech", train, test)
    with pytest.raises(DataError, match=message):
        open_("librispeech", tree).work("train")


def test_one_list_alone_is_an_error(tree):
    put(tree / "test_split.txt", b"9-5-0000")
    with pytest.raises(DataError, match=r"test_split\.txt alone"):
        open_("librispeech", tree).work("train")


def test_the_same_utterance_twice_is_an_error(tree):
    write_tree(tree / "copy", IDS[:1])
    with pytest.raises(DataError, match="'9-5-0000' twice: LibriSpeech/dev-cl"):
        open_("librispeech", tree).work("train")


@pytest.mark.parametrize("name", ["9/5/8-5-0000", "9/5/sound", "9/9-5-0000"])
def test_a_foreign_name_is_an_error(tmp_path, name):
    put(tmp_path / f"{name}.flac", encode(samples()))
    with pytest.raises(DataError, match="not named as in LibriSpeech"):
        open_("librispeech", tmp_path).work("train")


def test_an_empty_tree_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match="speaker-chapter-utterance"):
        open_("librispeech", tmp_path).work("train")


def test_the_rate_must_be_given(tmp_path):
    with pytest.raises(ConfigError, match=r"needs data\.sample_rate"):
        open_("sounds", tmp_path, sample_rate=None)


def test_fingerprints_follow_content_and_lists(tree):
    before = open_("librispeech", tree).fingerprint()
    assert open_("librispeech", tree).fingerprint() == before
    write_lists(tree, IDS[:8], IDS[8:])
    divided = open_("librispeech", tree).fingerprint()
    file = tree / "LibriSpeech" / "dev-clean" / "9" / "5" / "9-5-0000.flac"
    put(file, encode(samples(seed=99)))
    changed = open_("librispeech", tree).fingerprint()
    assert len({before, divided, changed}) == 3


def test_folders_of_sounds(tmp_path):
    tone = np.round(8000 * np.sin(np.arange(8000) / 9)).astype(np.int16)
    put(tmp_path / "Zoë" / "a b.flac", encode(tone))
    put(tmp_path / "ann" / "deeper" / "c.WAV", encode(tone, "WAV"))
    vorbis = encode(tone, "OGG", subtype="VORBIS")
    put(tmp_path / "ann" / "d.ogg", vorbis)
    put(tmp_path / "ann" / "d.txt", b"words")
    source = open_("sounds", tmp_path)
    found = {record.id: record for record in read(source, "train")}
    assert {name: record.label for name, record in found.items()} == {
        "Zoë/a b.flac": 0,
        "ann/deeper/c.WAV": 1,
        "ann/d.ogg": 1,
    }
    decoded = {
        name: windows.decode(tf.constant(record.encoded), VIEW).numpy()
        for name, record in found.items()
    }
    for name in ("Zoë/a b.flac", "ann/deeper/c.WAV"):
        assert found[name].encoded == (tmp_path / name).read_bytes()
        np.testing.assert_array_equal(decoded[name], tone / 32768)
    assert found["ann/d.ogg"].encoded[:4] == b"fLaC"
    original, _ = soundfile.read(io.BytesIO(vorbis))
    np.testing.assert_allclose(decoded["ann/d.ogg"], original, atol=0.6 / 32768)


def flipped(content, position):
    changed = bytearray(content)
    changed[position] ^= 0x10
    return bytes(changed)


FLAC = encode(samples(9000))
WAV = encode(samples(), "WAV")
OGG = encode(samples(30_000), "OGG", subtype="VORBIS")
# The header says that the number of samples is unknown.
ENDLESS = FLAC[:21] + bytes([FLAC[21] & 0xF0, 0, 0, 0, 0]) + FLAC[26:]
BAD = {
    "empty": (b"", "empty"),
    "foreign": (b"ID3 and so on", "not one of FLAC, WAV, OGG"),
    "magic alone": (b"fLaC", "truncated or damaged"),
    "slow": (encode(samples(), rate=8000), "8000 samples a second, expected"),
    "stereo": (encode(np.stack([samples()] * 2, 1)), "2 channels"),
    "short": (encode(samples(LEAST - 1)), "too short, 799 samples"),
    "silent": (encode(np.full(1600, 7, np.int16)), "silent"),
    "24 bits": (encode(samples(), subtype="PCM_24"), "PCM_24, expected PCM_16"),
    "floats": (encode(samples() / 2e4, "WAV", subtype="FLOAT"), "FLOAT"),
    "flac cut": (FLAC[: len(FLAC) // 2], "truncated or damaged"),
    "flac cut at the end": (FLAC[:-3], "truncated or damaged"),
    "flac flipped": (flipped(FLAC, len(FLAC) // 2), "truncated or damaged"),
    "flac digest": (flipped(FLAC, 30), "the samples' checksum differs"),
    "flac endless": (ENDLESS, "unknown length"),
    "wav cut": (WAV[:-100], "truncated"),
    "wav extended": (encode(samples(), "WAVEX"), "no plain WAV"),
    "ogg cut": (OGG[: len(OGG) // 2], "truncated"),
    "ogg cut at the end": (OGG[:-1], "truncated"),
    "ogg flipped": (flipped(OGG, len(OGG) // 2), "wrong checksum"),
    "ogg filled": (OGG + b"x" * 50, "a page is missing"),
}


@pytest.mark.parametrize("name", BAD)
def test_D2_what_cannot_be_used_is_refused_by_name(tmp_path, name):
    content, reason = BAD[name]
    put(tmp_path / "ann" / "bad.flac", content)
    put(tmp_path / "ann" / "good.flac", FLAC)
    found = read(open_("sounds", tmp_path), "train")
    (bad,) = (one for one in found if isinstance(one, Rejected))
    (good,) = (one for one in found if isinstance(one, Record))
    assert (good.id, bad.id) == ("ann/good.flac", "ann/bad.flac")
    assert reason in bad.reason
    assert "\n" not in bad.reason


@pytest.mark.parametrize("blocks", [(255, 255), (16, 4096), (4096, 8192)])
def test_D1_a_flac_with_wrong_sizes_of_blocks_is_written_again(blocks):
    """libsndfile reads it as it is, and the graph's decoder does not."""
    damaged = FLAC[:8] + struct.pack(">HH", *blocks) + FLAC[12:]
    stored = verified_recording(damaged, Wanted(16_000, LEAST))
    assert stored == FLAC
    decoded = windows.decode(tf.constant(stored), VIEW)
    np.testing.assert_array_equal(decoded, samples(9000) / 32768)


def test_D1_a_wav_with_bytes_behind_its_samples_is_refused():
    """The decoder's message repeats bytes of the file, which are no text."""
    content = WAV + b"\xfe\xff\xfa\xf6" + bytes(40)
    with pytest.raises(UnreadableError, match="no plain WAV"):
        verified_recording(content, Wanted(16_000, LEAST))


def test_an_ogg_without_its_last_page_is_truncated():
    assert ogg.find_damage(OGG) is None
    last = OGG.rindex(b"OggS")
    assert ogg.find_damage(OGG[:last]) == "truncated"


def test_records_are_written_without_class_names(tree):
    put(tree / "LibriSpeech" / "dev-clean" / "9" / "5" / "9-5-0009.flac", b"")
    source = open_("librispeech", tree, holdout=0.4, max_bad=1)
    counts = write_records(source, tree / "records")
    assert sum(counts.values()) == 16
    facts = json.loads((tree / "records" / "ingest.json").read_text())
    assert facts["num_rejected"] == 1


def test_any_label_may_stand_where_the_source_names_the_classes():
    data = experiments.get("librispeech_gim").data
    check_label(Record("a", 5000, "train", b""), data)
    with pytest.raises(DataError, match="label -1; expected 0 or more"):
        check_label(Record("a", -1, "train", b""), data)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.sample_rate=8000", "must be equal, received 8000 and 16000"),
        ("data.min_samples=20479", "at least view.length, received 20479"),
        ("data.min_samples=0", "data.min_samples must be >= 1"),
    ],
)
def test_limits_must_fit_the_view(setting, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve(experiments.get("librispeech_gim"), [setting])


def test_decoding_in_tf_data_is_exact():
    contents = [FLAC, WAV, encode(samples(5, 1))]
    dataset = tf.data.Dataset.from_tensor_slices(contents)
    decoded = dataset.map(lambda one: windows.decode(one, VIEW))
    assert decoded.element_spec.shape == (None,)
    for values, expected in zip(
        decoded, (samples(9000), samples(), samples(5, 1)), strict=True
    ):
        np.testing.assert_array_equal(values, expected / 32768)


def test_another_rate_is_an_error_of_the_graph():
    with pytest.raises(tf.errors.InvalidArgumentError, match="sample rate"):
        windows.decode(tf.constant(encode(samples(), rate=44_100)), VIEW)


def test_real_speech_of_many_speakers(tmp_path):
    with tarfile.open(shared("librispeech-mini.tar")) as tar:
        flacs = (one for one in tar if one.name.endswith(".flac"))
        for member in (next(flacs) for _ in range(3)):
            tar.extract(member, tmp_path)
    source = open_("librispeech", tmp_path, min_samples=20_480)
    records = read(source, "train")
    assert sorted(record.label for record in records) == [0, 1, 2]
    for record in records:
        expected, _ = soundfile.read(io.BytesIO(record.encoded), dtype="int16")
        decoded = windows.decode(tf.constant(record.encoded), VIEW)
        np.testing.assert_array_equal(decoded, expected / 32768)


def tone(rate, count, hertz=440):
    wave = 8000 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)
    return np.rint(wave).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000])
def test_D2_other_rates_are_resampled_on_demand(tmp_path, rate):
    put(tmp_path / "ann" / "a.flac", encode(tone(rate, rate), rate=rate))
    (record,) = read(open_("sounds", tmp_path, resample=True), "train")
    assert record.encoded[:4] == b"fLaC"
    decoded, stored = soundfile.read(io.BytesIO(record.encoded), dtype="int16")
    assert (stored, len(decoded)) == (16_000, 16_000)
    assert soundfile.info(io.BytesIO(record.encoded)).subtype == "PCM_16"
    # The filter sees zeros beyond both ends.
    middle = slice(1000, -1000)
    expected = tone(16_000, 16_000)
    np.testing.assert_allclose(decoded[middle], expected[middle], atol=20)


@pytest.mark.parametrize("kind", ["FLAC", "WAV", "OGG"])
def test_D2_channels_are_averaged_on_demand(tmp_path, kind):
    left, right = tone(16_000, 8000), tone(16_000, 8000, 90)
    both = np.stack([left, right], 1)
    subtype = "VORBIS" if kind == "OGG" else "PCM_16"
    put(tmp_path / "ann" / "a.x.wav", encode(both, kind, subtype=subtype))
    (record,) = read(open_("sounds", tmp_path, downmix=True), "train")
    decoded, _ = soundfile.read(io.BytesIO(record.encoded), dtype="int16")
    expected = np.rint(both.mean(1))
    close = 500 if kind == "OGG" else 0
    np.testing.assert_allclose(decoded, expected, atol=close)


def test_D2_what_is_converted_is_checked_as_it_is_stored(tmp_path):
    cases = {
        "short": encode(samples(2 * LEAST - 2), rate=32_000),
        "opposite": encode(np.stack([samples(), -samples()], 1)),
        "24 bits": encode(samples(), rate=8000, subtype="PCM_24"),
        "endless": encode(samples(9000), rate=1),
    }
    for name, content in cases.items():
        put(tmp_path / "ann" / f"{name}.flac", content)
    source = open_("sounds", tmp_path, resample=True, downmix=True)
    found = {one.id[4:-5]: one.reason for one in read(source, "train")}
    assert found["short"].startswith("too short, 799 samples, at least 800")
    assert found["opposite"].startswith("silent")
    assert "PCM_24" in found["24 bits"]
    assert found["endless"].startswith("too long")


def test_refusals_name_the_setting_that_mends():
    assert "data.resample=true (--resample)" in reason("slow")
    assert "data.downmix=true (--downmix)" in reason("stereo")


def reason(name):
    with pytest.raises(UnreadableError) as error:
        verified_recording(BAD[name][0], Wanted(16_000, LEAST))
    return str(error.value)


def test_the_embedded_speech_is_synthetic_and_labelled():
    source = open_("embedded_speech", min_samples=20_480)
    assert source.class_names == ("1", "2", "3", "4")
    assert len(source.frame_names) == 41
    assert source.frame_names[:3] == ("pau", "aa", "ae")
    for split, count in (("train", 59), ("test", 13)):
        found = read(source, split)
        assert len(found) == count
        assert all(record.frame_labels for record in found)
    with pytest.raises(ConfigError, match="'librispeech' or 'sounds'"):
        open_("embedded_speech", "here").work("train")


def test_D9_many_files_with_names_of_all_kinds(tmp_path):
    content = encode(samples())
    put(tmp_path / "source.flac", content)
    folder = tmp_path / "Zoë  Ünal" / "a b's"
    folder.mkdir(parents=True)
    for index in range(2000):
        (folder / f"{index} ☃.flac").hardlink_to(tmp_path / "source.flac")
    source = open_("sounds", tmp_path)
    assert [len(item.members) for item in source.work("train")] == [256] * 7 + [
        208
    ]
    item = source.work("train")[0]
    found = list(source.read(item._replace(members=item.members[:3])))
    assert [one.encoded for one in found] == [content] * 3
