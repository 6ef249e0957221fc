"""Makes synthetic speech with exact phone labels, shaped like LibriSpeech.

    apt-get install flite
    python tools/make_speech.py --output DIRECTORY

The same seed gives the same bytes (with flite 2.2 and the same soundfile).
Every utterance has a pace, a pitch, a level and a noise floor of its own, so
that no such constant tells the voices apart; the voice rms has one pitch only.
"""

import argparse
import itertools
import random
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

PACKAGE_DATA = (
    Path(__file__).resolve().parents[1] / "gim_tf" / "data" / "made_speech"
)
README = Path(__file__).with_name("made_speech_readme.txt")
CORPUS = "made-speech"
SAMPLE_RATE = 16_000
HOP, WINDOW = 160, 400  # one label a hop, for the middle of the window
DRIFT = 800  # samples on each side whose mean is taken away: below 20 Hz
SHORTEST, LONGEST = 2.0, 8.0  # seconds
CHAPTER = 10  # utterances
EVERY_TEST = 5  # of a speaker, each so-many-th utterance is for the test
PACE, PITCH = (0.9, 1.15), (0.85, 1.18)  # times the voice's own
LEVEL, NOISE = (900.0, 1800.0), (8.0, 24.0)  # root mean square, of 32,768

# The phones of flite's English voices; a label is a position in this tuple.
PHONES = (
    *("pau", "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh"),
    *("eh", "er", "ey", "f", "g", "hh", "ih", "iy", "jh", "k", "l", "m", "n"),
    *("ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w"),
    *("y", "z", "zh"),
)


class Voice(NamedTuple):
    """A voice of flite: its number as a speaker, and its own pace."""

    speaker: int
    name: str
    sex: str
    pace: float = 1.0


VOICES = (
    Voice(1, "awb", "M"),
    Voice(2, "rms", "M"),
    Voice(3, "slt", "F"),
    Voice(4, "kal16", "M", pace=1.1),
)


class Utterance(NamedTuple):
    """What was said and what it sounds like: int16 [n], labels [1 + ...]."""

    voice: Voice
    number: int
    text: str
    samples: np.ndarray
    labels: np.ndarray

    @property
    def chapter(self) -> int:
        """The chapter, whose number starts with the speaker's."""
        return 100 * self.voice.speaker + self.number // CHAPTER

    @property
    def name(self) -> str:
        """SPEAKER-CHAPTER-UTTERANCE."""
        return f"{self.voice.speaker}-{self.chapter}-{self.number:04d}"


WORDS = {
    "which": "the this that this_dear our their her his my your every_young "
    "another the_other one_good some_other each_huge such_a_beige no_usual",
    "quality": "quick yellow thin azure loud joyful good rough dark unusual "
    "beige huge sharp calm full young enchanted northern moist wooden cheap "
    "bright shaggy foolish gentle green heavy royal narrow thick brown tall "
    "casual smooth orange visual white woollen youthful cloudy",
    "thing": "fox treasure oyster book garage feather voice church jungle "
    "window shadow bridge mouth coin vision yard hook house kitchen thumb "
    "ship valley engine pudding fountain leather measure owl judge uncle bird "
    "mirage cushion youth ocean cook pitcher cloth boy flower spoon hedgehog "
    "father ring lake zebra toy village apple beach mother goose",
    "person": "Ruth Joyce George Hugh Edith Paul Zoe Charles Judy Roy Keith "
    "Hugo Ethan Shaun Beth Louis Heather Ivan Maya Doyle Faith Howard",
    "does": "finds enjoyed measured pushed destroyed took brought sang_to "
    "watched shouted_at understood carried joined touched pulled thanked "
    "chose followed asked_for looked_at threw gathered visited avoided used "
    "imagined borrowed fetched breathed_on changed heard pointed_at",
    "where": "under near beyond behind beside above without through against "
    "around between_the_wood_and toward along_with outside before",
    "how": "slowly with_pleasure at_noon usually on_the_hour for_a_year "
    "this_month together by_choice again all_day_long in_the_south quietly "
    "with_joy on_occasion at_length",
    "joint": "and but while because although before until so",
}
# Names of word lists; everything else is said as it stands.
PATTERNS = (
    "which thing does which quality thing",
    "person does which thing where which thing",
    "which quality thing does which thing where which quality thing how",
    "how , person does which quality thing",
    "person and person does which thing , joint which thing does person how",
    "which quality , quality thing where which thing does person",
    "joint person does which thing , which quality thing does which thing",
    "where which thing , person does which quality thing , joint person does "
    "which thing how",
)


def main() -> None:
    """Writes the corpus and says what is in it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=PACKAGE_DATA)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.output.exists() and any(arguments.output.iterdir()):
        raise SystemExit(
            f"Expected no directory or an empty one, received "
            f"{arguments.output}: remove what is in it."
        )
    utterances = made(arguments.minutes, arguments.seed)
    write(utterances, arguments.output, arguments.minutes, arguments.seed)
    print("\n".join(described(utterances)))


def made(minutes: float, seed: int) -> list[Utterance]:
    """Utterances of all voices, each voice for its share of the minutes.

    The voices take turns, so that the words are dealt evenly to them.
    """
    texts = sentences(seed)
    left = {voice: 60 * minutes / len(VOICES) for voice in VOICES}
    numbers = dict.fromkeys(VOICES, 0)
    utterances = []
    while any(seconds > 0 for seconds in left.values()):
        for voice in [voice for voice in VOICES if left[voice] > 0]:
            spoken = said(voice, numbers[voice], texts, seed)
            utterances.append(spoken)
            numbers[voice] += 1
            left[voice] -= len(spoken.samples) / SAMPLE_RATE
    return sorted(utterances, key=lambda it: (it.voice.speaker, it.number))


def sentences(seed: int) -> Iterator[str]:
    """Sentences without end, no two of them with the same words."""
    chance = random.Random(f"{seed} sentences")
    decks = {name: deck(words.split(), chance) for name, words in WORDS.items()}
    patterns = deck(PATTERNS, chance)
    seen = set()
    while True:
        parts = [
            next(decks[part]) if part in decks else part
            for part in next(patterns).split()
        ]
        text = " ".join(parts).replace("_", " ").replace(" ,", ",")
        if transcript(text) not in seen:
            seen.add(transcript(text))
            yield f"{text}."


def deck(
    cards: list[str] | tuple[str, ...], chance: random.Random
) -> Iterator[str]:
    """Cards without end: all of them in a new order, and again."""
    while True:
        yield from chance.sample(cards, len(cards))


def transcript(text: str) -> str:
    """The words alone, as LibriSpeech writes them."""
    return text.replace(",", "").replace(".", "").upper()


def said(
    voice: Voice, number: int, texts: Iterator[str], seed: int
) -> Utterance:
    """The first of the sentences that takes neither too long nor too short."""
    chance = random.Random(f"{seed} {voice.name} {number}")
    for text in texts:
        pace = voice.pace * chance.uniform(*PACE)
        dry, phones, ends = flite(voice, text, pace, chance.uniform(*PITCH))
        if SHORTEST <= len(dry) / SAMPLE_RATE <= LONGEST:
            samples = recorded(dry, chance)
            labels = aligned(phones, ends, len(samples))
            return Utterance(voice, number, text, samples, labels)
    raise ValueError("Expected sentences without end.")


def flite(
    voice: Voice, text: str, pace: float, pitch: float
) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Samples int16 [n], labels [p] of the phones and their ends [p] in s."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "said.wav"
        command = ["flite", "-voice", voice.name]
        command += ["--setf", f"duration_stretch={pace:.4f}"]
        command += ["--setf", f"f0_shift={pitch:.4f}"]
        command += ["-psdur", "-t", text, "-o", str(path)]
        try:
            run = subprocess.run(
                command, check=True, capture_output=True, text=True
            )
        except FileNotFoundError:
            raise SystemExit(
                "Expected the command flite, found none: apt-get install flite."
            ) from None
        samples, rate = soundfile.read(path, dtype="int16")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise ValueError(
            f"Expected mono at {SAMPLE_RATE} Hz from voice {voice.name}, "
            f"received {rate} Hz: flite 2.2 speaks at {SAMPLE_RATE} Hz."
        )
    pairs = [pair.split(":") for pair in run.stdout.split()]
    phones = [PHONES.index(phone) for phone, _ in pairs]
    return samples, phones, np.array([float(end) for _, end in pairs])


def recorded(dry: np.ndarray, chance: random.Random) -> np.ndarray:
    """Centred, at a level of its own, over faint white noise: int16 [n]."""
    # Sums of integers and uniform numbers only: no machine rounds otherwise.
    power = int((dry.astype(np.int64) ** 2).sum()) / len(dry)
    gain = chance.uniform(*LEVEL) / power**0.5
    noise = np.random.RandomState(chance.getrandbits(32))
    width = 3**0.5 * chance.uniform(*NOISE)
    wet = gain * centred(dry) + width * noise.uniform(-1, 1, len(dry))
    return np.clip(np.rint(wet), -32_768, 32_767).astype(np.int16)


def centred(samples: np.ndarray) -> np.ndarray:
    """Without the offset from zero, which alone would name the voice."""
    sums = np.concatenate([[0], np.cumsum(samples, dtype=np.int64)])
    index = np.arange(len(samples))
    low = np.maximum(index - DRIFT, 0)
    high = np.minimum(index + DRIFT + 1, len(samples))
    return samples - (sums[high] - sums[low]) / (high - low)


def aligned(phones: list[int], ends: np.ndarray, count: int) -> np.ndarray:
    """One label a hop: the phone at the middle of each window.

    The list of kal16 ends about 0.1 s after the samples, with the half of the
    last pause that flite does not render: no window lies there.
    """
    middles = WINDOW // 2 + HOP * np.arange(1 + (count - WINDOW) // HOP)
    at = np.searchsorted(np.rint(ends * SAMPLE_RATE), middles, side="right")
    return np.array(phones)[np.minimum(at, len(phones) - 1)]


def write(
    utterances: list[Utterance], output: Path, minutes: float, seed: int
) -> None:
    """Writes the corpus as LibriSpeech and its users' lists are laid out."""
    for chapter, members in itertools.groupby(
        utterances, key=lambda it: (it.voice.speaker, it.chapter)
    ):
        directory = output / CORPUS / f"{chapter[0]}" / f"{chapter[1]}"
        directory.mkdir(parents=True)
        lines = []
        for spoken in members:
            path = directory / f"{spoken.name}.flac"
            soundfile.write(
                path, spoken.samples, SAMPLE_RATE, "PCM_16", format="FLAC"
            )
            lines.append(f"{spoken.name} {transcript(spoken.text)}")
        name = f"{chapter[0]}-{chapter[1]}.trans.txt"
        write_lines(directory / name, lines)
    write_lists(utterances, output)
    figures = {"minutes": f"{minutes:g}", "seed": seed, "corpus": CORPUS}
    (output / "README").write_text(README.read_text().format(**figures))


def write_lists(utterances: list[Utterance], output: Path) -> None:
    """The labels, their names, the speakers and the two splits."""
    labels = [
        " ".join([spoken.name, *map(str, spoken.labels)])
        for spoken in utterances
    ]
    write_lines(output / "converted_aligned_phones.txt", labels)
    write_lines(output / "phones.txt", PHONES)
    head = ";ID | SEX | SUBSET | MINUTES | NAME"
    speakers = [
        f"{voice.speaker} | {voice.sex} | {CORPUS} | "
        f"{seconds(utterances, voice) / 60:.2f} | "
        f"synthetic voice {voice.name} of flite"
        for voice in VOICES
    ]
    write_lines(output / "SPEAKERS.TXT", [head, *speakers])
    for split, wanted in (("train", False), ("test", True)):
        names = [it.name for it in utterances if is_test(it) is wanted]
        write_lines(output / f"{split}_split.txt", names)


def write_lines(path: Path, lines: list[str] | tuple[str, ...]) -> None:
    """One a line, the last one too."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())


def is_test(spoken: Utterance) -> bool:
    """Whether the utterance is for the test; every speaker has such."""
    return spoken.number % EVERY_TEST == EVERY_TEST - 1


def seconds(utterances: list[Utterance], voice: Voice) -> float:
    """How long the voice speaks."""
    lengths = [len(it.samples) for it in utterances if it.voice == voice]
    return sum(lengths) / SAMPLE_RATE


def described(utterances: list[Utterance]) -> Iterator[str]:
    """Lines with the seconds of each voice and the phones of each split."""
    for voice in VOICES:
        count = sum(it.voice == voice for it in utterances)
        yield f"{voice.name}: {count} in {seconds(utterances, voice):.1f} s"
    for split, wanted in (("train", False), ("test", True)):
        members = [it for it in utterances if is_test(it) is wanted]
        length = sum(len(it.samples) for it in members) / SAMPLE_RATE
        heard = Counter(label for it in members for label in it.labels.tolist())
        absent = [
            phone for label, phone in enumerate(PHONES) if not heard[label]
        ]
        yield (
            f"{split}: {len(members)} in {length:.1f} s, "
            f"without {' '.join(absent) or 'none'} of {len(PHONES)} phones"
        )


if __name__ == "__main__":
    main()
