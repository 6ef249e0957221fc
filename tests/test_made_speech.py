"""The embedded synthetic speech: whole, labelled, split, made by its tool."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
MADE = ROOT / "gim_tf" / "data" / "made_speech"

needs_flite = pytest.mark.skipif(
    shutil.which("flite") is None,
    reason="needs the command flite 2.2 (apt-get install flite)",
)


@pytest.fixture(scope="module")
def tool():
    path = ROOT / "tools" / "make_speech.py"
    specification = importlib.util.spec_from_file_location("make_speech", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def flacs(directory):
    return {path.stem: path for path in directory.rglob("*.flac")}


def table(path):
    """The lines of a file by their first words."""
    rows = [line.split(" ", 1) for line in path.read_text().splitlines()]
    assert len({row[0] for row in rows}) == len(rows)
    return dict(rows)


def alignments():
    rows = table(MADE / "converted_aligned_phones.txt")
    return {name: np.array(row.split(), int) for name, row in rows.items()}


def transcripts():
    texts = {}
    for path in MADE.rglob("*.trans.txt"):
        texts |= table(path)
    return texts


def splits():
    return {
        split: (MADE / f"{split}_split.txt").read_text().split()
        for split in ("train", "test")
    }


def speaker(name):
    return name.split("-")[0]


def test_every_recording_decodes_and_has_a_label_each_ten_milliseconds():
    recordings, labels = flacs(MADE), alignments()
    assert recordings.keys() == labels.keys() == transcripts().keys()
    for name, path in recordings.items():
        samples, rate = soundfile.read(path, dtype="int16")
        assert (rate, samples.ndim) == (16_000, 1), name
        assert soundfile.info(path).subtype == "PCM_16", name
        assert 20_480 < len(samples) <= 8 * 16_000, name
        assert len(labels[name]) == 1 + (len(samples) - 400) // 160, name
        assert path.parent == MADE.joinpath("made-speech", *name.split("-")[:2])


def test_it_is_about_five_minutes_in_less_than_six_megabytes():
    length = sum(soundfile.info(path).duration for path in flacs(MADE).values())
    size = sum(path.stat().st_size for path in MADE.rglob("*.*"))
    assert 4.5 < length / 60 < 6
    assert size < 6e6


def test_both_splits_have_all_phones_and_the_speakers_all_of_train():
    phones = (MADE / "phones.txt").read_text().split()
    labels = alignments()
    assert len(set(phones)) == len(phones) == 41
    for names in splits().values():
        heard = np.concatenate([labels[name] for name in names])
        assert set(heard) == set(range(41))
    for voice in "1234":
        own = [name for name in splits()["train"] if speaker(name) == voice]
        assert set(np.concatenate([labels[name] for name in own])) == {
            *range(41)
        }


def test_the_splits_share_speakers_but_no_utterance_and_no_sentence():
    train, test = splits().values()
    texts = transcripts()
    assert sorted(train + test) == sorted(texts)
    assert not {texts[name] for name in train} & {texts[name] for name in test}
    for names in (train, test):
        assert {speaker(name) for name in names} == {"1", "2", "3", "4"}


def test_pauses_are_quiet_and_vowels_loud_where_the_labels_say():
    phones = (MADE / "phones.txt").read_text().split()
    vowels = [
        label for label, phone in enumerate(phones) if phone[0] in "aeiou"
    ]
    for name, labels in alignments().items():
        samples, _ = soundfile.read(flacs(MADE)[name])
        middles = 200 + 160 * np.arange(len(labels))
        windows = samples[middles[:, None] + np.arange(-80, 80)]
        level = np.log((windows**2).mean(-1) + 1e-9)
        pause = np.median(level[labels == phones.index("pau")])
        vowel = np.median(level[np.isin(labels, vowels)])
        assert vowel - pause > np.log(100), name  # 20 dB


def test_level_offset_and_zeros_do_not_name_the_voice():
    constants = {voice: [] for voice in "1234"}
    for name, path in flacs(MADE).items():
        samples, _ = soundfile.read(path, dtype="int16")
        assert abs(samples.mean()) < 5, name
        level, zeros = samples.std(), (samples == 0).mean()
        constants[speaker(name)].append((level, zeros))
    lowest = np.array([np.min(own, axis=0) for own in constants.values()])
    highest = np.array([np.max(own, axis=0) for own in constants.values()])
    # Any two voices overlap in each constant.
    assert (lowest.max(0) < highest.min(0)).all()


def test_a_label_is_the_phone_at_the_middle_of_its_window(tool):
    # Three phones that end at samples 360, 361 and 8,000; 720 samples.
    ends = np.array([360, 361, 8000]) / 16_000
    # Middles: 200, 360 (which the second phone begins with) and 520.
    assert tool.aligned([5, 6, 7], ends, 720).tolist() == [5, 6, 7]


@pytest.mark.integration
@needs_flite
def test_the_tool_makes_what_is_embedded(tool, tmp_path):
    tool.write(tool.made(5, 0), tmp_path, 5, 0)
    relative = sorted(path.relative_to(MADE) for path in MADE.rglob("*"))
    assert relative == sorted(
        p.relative_to(tmp_path) for p in tmp_path.rglob("*")
    )
    for path in relative:
        if path.suffix == ".flac":
            # Another libFLAC may pack the same samples otherwise.
            ours, _ = soundfile.read(MADE / path, dtype="int16")
            made, _ = soundfile.read(tmp_path / path, dtype="int16")
            np.testing.assert_array_equal(made, ours, err_msg=str(path))
        elif (MADE / path).is_file():
            assert (tmp_path / path).read_bytes() == (MADE / path).read_bytes()


@needs_flite
def test_a_seed_gives_the_same_bytes_and_another_seed_others(tool, tmp_path):
    contents = []
    for run, seed in enumerate((3, 3, 4)):
        directory = tmp_path / str(run)
        tool.write(tool.made(0.4, seed), directory, 0.4, seed)
        contents.append(
            {
                path.relative_to(directory): path.read_bytes()
                for path in directory.rglob("*")
                if path.is_file()
            }
        )
    first, again, other = contents
    assert first == again
    assert first != other
