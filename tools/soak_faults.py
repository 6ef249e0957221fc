"""The faults of `tools/soak.py`, and the commands that they befall.

A fault returns how it came out. Where there was nothing yet for it to befall
it kills instead, and says so at the end of what it returns (`NOT_YET`).
"""

import contextlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
NOT_YET = " yet"
PATIENCE = 900.0  # seconds for one command
CLASSES = 10
SETTINGS = (
    "data.source=folder",
    "data.holdout=0.2",
    "stack.encoder.block=basic",
    "stack.encoder.planes=[4, 6, 8]",
    "stack.encoder.stem_channels=4",
    "stack.objective.prediction_steps=2",
    "training.batch_size=8",
    "training.num_steps=40",
    "training.log_every=5",
    "training.checkpoint_every=3",  # most of them between two log lines
    "probe.epochs=2",
)


class Ended(NamedTuple):
    """How a command ended; `errors` is what it wrote to standard error."""

    code: int
    errors: str

    @property
    def last(self) -> str:
        """The last line of the errors."""
        return (self.errors.strip().splitlines() or [""])[-1]

    @property
    def is_refused(self) -> bool:
        """Whether it ended with 2 and one line that says why."""
        said = self.last.startswith("gim: error: ")
        return self.code == 2 and said and "Traceback" not in self.errors


class SoakError(Exception):
    """A command did not end as it should, or a round lost something."""


class Round:
    """One run directory, its data, and the faults that it gets.

    Args:
      place: an empty directory, where all of it lies.
      generator: decides about the faults.
      seconds: that `gim pretrain` took undisturbed.
    """

    def __init__(
        self, place: Path, generator: random.Random, seconds: float = 0.0
    ) -> None:
        self.place, self.random, self.seconds = place, generator, seconds
        self.run, self.data = place / "run", place / "pictures"
        make_pictures(self.data)

    def command(self, verb: str) -> list[str]:
        """`gim pretrain` or `gim probe`."""
        words = [*(sys.executable, "-m", "gim_tf.cli", verb)]
        words += ["--output-dir", str(self.run)]
        if verb == "pretrain":
            words += ["--experiment", "fashion_mnist_gim"]
            words += ["--data", str(self.data)]
            words += [w for s in SETTINGS for w in ("--set", s)]
        return words

    def start(self, verb: str, most_bytes: int = 0) -> subprocess.Popen[str]:
        """Starts a command; `most_bytes` is the largest file it may write."""

        def limited() -> None:
            if most_bytes:
                limits = (most_bytes, most_bytes)
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        return subprocess.Popen(
            self.command(verb),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limited,
        )

    def to_the_end(self, verb: str, most_bytes: int = 0) -> Ended:
        """Runs a command until it ends by itself."""
        process = self.start(verb, most_bytes)
        _, errors = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, errors)

    def interrupted(self, verb: str, number: int) -> Ended:
        """Runs a command and sends it a signal at a random moment.

        Half of the signals come some steps into training, where there is the
        most to lose; the others at any time, the import of TensorFlow included.
        """
        before = newest(self.run)
        process = self.start(verb)
        wait = self.random.uniform(0.0, 1.1 * self.seconds)
        more = self.random.randrange(1, 12)
        by_steps = verb == "pretrain" and self.random.random() < 0.5
        started = time.monotonic()
        while process.poll() is None:
            waited = time.monotonic() - started
            if by_steps and newest(self.run) >= before + more:
                break
            if waited > (PATIENCE if by_steps else wait):
                break
            time.sleep(0.005)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        return Ended(process.returncode, errors)


def make_pictures(folder: Path) -> None:
    """Sixty pictures of noise in ten classes, always the same ones."""
    from gim_tf import experiments

    generator = np.random.default_rng(0)
    names = experiments.get("fashion_mnist_gim").data.class_names
    for index in range(60):
        pixels = generator.integers(0, 256, (28, 28), np.uint8)
        path = folder / names[index % CLASSES] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def newest(run: Path) -> int:
    """Step of the newest checkpoint."""
    found = (run / "training").glob("ckpt-*.index")
    return max((int(p.stem.split("-")[1]) for p in found), default=0)


def damage(path: Path, generator: random.Random) -> None:
    """Cuts a file short, empties it, or changes some bytes in it."""
    content = bytearray(path.read_bytes())
    kind = generator.choice(("cut", "cut", "empty", "flip", "flip"))
    if kind == "cut":
        content = content[: generator.randrange(len(content))]
    elif kind == "empty":
        content.clear()
    else:
        for _ in range(generator.randrange(1, 64)):
            content[generator.randrange(len(content))] ^= 0xFF
    path.write_bytes(content)


def expect(wanted: bool, ended: Ended, what: str) -> None:
    """Raises a `SoakError` with what the command said."""
    if not wanted:
        raise SoakError(
            f"{what}: ended with {ended.code}:\n{ended.errors[-3000:]}"
        )


def fault_kill(one: Round) -> str:
    """SIGKILL while training."""
    ended = one.interrupted("pretrain", signal.SIGKILL)
    expect(ended.code in (-9, 0), ended, "killed")
    return "killed" if ended.code else "done before"


def fault_kill_probe(one: Round) -> str:
    """SIGKILL while exporting and probing."""
    ended = one.to_the_end("pretrain")
    expect(ended.code == 0, ended, "training")
    ended = one.interrupted("probe", signal.SIGKILL)
    expect(ended.code in (-9, 0), ended, "killed")
    return "killed" if ended.code else "done before"


def fault_terminate(one: Round) -> str:
    """SIGTERM while training: it saves, or had not begun."""
    ended = one.interrupted("pretrain", signal.SIGTERM)
    expect(ended.code in (143, -15, 0), ended, "terminated")
    if ended.code == 143:
        step = int(ended.last.split("after step ")[1].split(",")[0])
        expect(newest(one.run) == step, ended, "step that it says it saved")
    return {143: "saved", -15: "not begun", 0: "done before"}[ended.code]


def fault_checkpoint(one: Round) -> str:
    """The newest checkpoint's data or index damaged or gone."""
    step = newest(one.run)
    if not step:
        return fault_kill(one) + ", no checkpoint" + NOT_YET
    folder = one.run / "training"
    files = [*folder.glob(f"ckpt-{step}.data*"), folder / f"ckpt-{step}.index"]
    path = one.random.choice(files)
    if one.random.random() < 0.2:
        path.unlink()
    else:
        damage(path, one.random)
    ended = one.to_the_end("pretrain")
    if ended.is_refused and "none can be read" in ended.last:
        shutil.rmtree(one.run / "training")  # as the message says
        return "refused, none left"
    expect(ended.code == 0, ended, "training on")
    return "went on from the one before"


def fault_state_file(one: Round) -> str:
    """TensorFlow's state file, the log, or both in pieces."""
    folder = one.run / "training"
    if not folder.is_dir():
        return fault_kill(one) + ", no run" + NOT_YET
    (folder / "checkpoint").write_bytes(one.random.randbytes(40))
    if (folder / "history.jsonl").is_file():
        damage(folder / "history.jsonl", one.random)
    ended = one.to_the_end("pretrain")
    messages = ("num_steps ends", "its log ends at step")
    if ended.is_refused and any(m in ended.last for m in messages):
        shutil.rmtree(folder)  # all was trained, and its log is gone
        return "refused, no whole log"
    expect(ended.code == 0, ended, "training on")
    return "went on"


def fault_config(one: Round) -> str:
    """The recorded configuration damaged: refused until it is back."""
    path = one.run / "training" / "config.json"
    if not path.is_file():
        return fault_kill(one) + ", no run" + NOT_YET
    before = path.read_bytes()
    path.write_bytes(before[: one.random.randrange(len(before) - 2)])
    ended = one.to_the_end("pretrain")
    expect(ended.is_refused, ended, "damaged configuration")
    path.write_bytes(before)
    return "refused"


def fault_full_disk(one: Round) -> str:
    """No room on the disk, or a limit on the size of files, while training."""
    filler = one.place / "filler"
    most = 0
    if one.place.is_mount() and one.random.random() < 0.7:
        fill(filler, leave=one.random.choice((0, 2**12, 2**16, 2**18)))
    else:
        most = one.random.choice((0, 2**12, 2**14, 2**16)) + 1
    ended = one.to_the_end("pretrain", most_bytes=most)
    filler.unlink(missing_ok=True)
    expect(ended.is_refused or ended.code == 0, ended, "full disk")
    return "refused" if ended.code else "had room"


def fill(path: Path, leave: int) -> None:
    """Writes a file until the disk has only `leave` bytes left."""
    size = max(0, shutil.disk_usage(path.parent).free - leave)
    with contextlib.suppress(OSError), path.open("wb", 0) as file:
        for _ in range(size // 4096):
            file.write(bytes(4096))


def fault_input(one: Round) -> str:
    """A damaged picture among the data: refused by name until it is gone."""
    folder = one.random.choice(sorted(p for p in one.data.iterdir()))
    whole = one.random.choice(sorted(folder.glob("*.png")))
    bad = folder / "bad picture é.png"
    bad.write_bytes(whole.read_bytes()[: one.random.randrange(600)])
    ended = one.to_the_end("pretrain")
    expect(ended.is_refused, ended, "damaged picture")
    expect(bad.name in ended.last, ended, "name of the damaged picture")
    bad.unlink()
    return "refused by name"


def fault_records(one: Round) -> str:
    """Records damaged: refused by name until they are made again."""
    shards = sorted((one.run / "records").glob("Split-train/*.gz"))
    if not shards:
        return fault_kill(one) + ", no records" + NOT_YET
    damage(shards[0], one.random)
    ended = one.to_the_end("pretrain")
    expect(ended.is_refused, ended, "damaged records")
    expect(shards[0].name in ended.last, ended, "name of the damaged records")
    shutil.rmtree(one.run / "records")
    return "refused by name"


def fault_export(one: Round) -> str:
    """A byte of an export altered: no server takes it."""
    for verb in ("pretrain", "probe"):
        ended = one.to_the_end(verb)
        expect(ended.code == 0, ended, verb)
    files = [
        path
        for path in (one.run / "model").rglob("*")
        if path.is_file() and path.name != "manifest.json"
    ]
    path = one.random.choice(sorted(files))
    content = bytearray(path.read_bytes())
    content[one.random.randrange(len(content))] ^= 1 << one.random.randrange(7)
    path.write_bytes(content)
    words = [*(sys.executable, "-m", "gim_tf.cli", "serve-check")]
    done = subprocess.run(
        [*words, str(one.run / "model")],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    ended = Ended(done.returncode, done.stderr)
    expect(ended.is_refused, ended, f"altered {path.name}")
    return "refused"


Fault = Callable[[Round], str]
FAULTS: tuple[Fault, ...] = (
    fault_kill,
    fault_kill,
    fault_terminate,
    fault_checkpoint,
    fault_full_disk,
    fault_kill_probe,
    fault_state_file,
    fault_config,
    fault_input,
    fault_records,
    fault_export,
)


class Deck:
    """Deals faults in a random order, each before any comes again.

    Args:
      generator: shuffles.
    """

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._left: list[Fault] = []

    def deal(self) -> Fault:
        """The next fault."""
        if not self._left:
            self._left = self._random.sample(FAULTS, len(FAULTS))
        return self._left.pop()

    def take_back(self, fault: Fault) -> None:
        """One that had nothing to befall yet; it comes again later."""
        self._left.insert(0, fault)
