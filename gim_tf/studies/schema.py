"""What a study is: systems, what is measured of them, and how it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

QUOTED_FROM = {
    "class": "STL-10",
    "phone": "LibriSpeech train-clean-100",
    "speaker": "LibriSpeech train-clean-100",
}
"""The data that the paper's figures are of, by task."""

FULL_SIZE = ("stl10", "librispeech")
"""Data sets whose networks have the paper's size."""

SOURCES = {
    "secondary": "secondary source",
    "figure": "read off a figure",
    "memory": "unverified",
}


@dataclass(frozen=True, kw_only=True)
class Quoted:
    """A figure of the paper, in percent, and how it is known.

    Attributes:
      value: accuracy in percent, on the paper's data.
      source: "secondary": from a public page about the paper; "figure": read
        off its figure; "memory": not seen at its source.
    """

    value: float
    source: Literal["secondary", "figure", "memory"]

    def __str__(self) -> str:
        return f"{self.value:.1f} ({SOURCES[self.source]})"


@dataclass(frozen=True, kw_only=True)
class System:
    """One way to train a network: a row of a table, a curve of a figure.

    Attributes:
      name: of its runs' folder; the same system in all studies.
      title: for readers.
      experiment: its name, in which `{dataset}` stands for the data set.
      overrides: `dotted.path=value` settings on it.
      by_depth: probe it at the depths of the data set's Greedy InfoMax, see
        `ProbeConfig.module_sizes`.
      datasets: the only data sets that it is for; none: all.
      group: of a sweep, what is varied.
      paper: the paper's figures by task.
    """

    name: str
    title: str
    experiment: str = "{dataset}_gim"
    overrides: tuple[str, ...] = ()
    by_depth: bool = False
    datasets: tuple[str, ...] = ()
    group: str = ""
    paper: Mapping[str, Quoted] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a bench of `gim bench` measures, once and alone on the machine.

    Attributes:
      name: of its file.
      title: for readers.
      bench: words behind `gim bench`.
      experiment: as that of a system.
      overrides: settings on it.
      datasets: the only data sets that it is for; none: all.
      own: whether the study's `--set` applies: not to another architecture.
    """

    name: str
    title: str
    bench: tuple[str, ...]
    experiment: str = "{dataset}_gim"
    overrides: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    own: bool = True


@dataclass(frozen=True, kw_only=True)
class Study:
    """A table or figure of the paper, as runs.

    Attributes:
      name: as its file is named.
      summary: one line for `gim study --list`.
      paper: which table or figure.
      cost: on two cores, one seed.
      datasets: that it is meant for, the default first; others will do if
        they have the experiments.
      systems: that are trained, once a seed.
      measurements: that are made once.
      tables: of `gim_tf.studies.tables`, in order.
      figures: of `gim_tf.studies.figures`, in order.
      controls: the paper's figures of what has no system of its own, by the
        names of `gim_tf.studies.rows.CONTROLS`, then by task.
      speaker_errors: the paper's, in percent, of each module, by the name of
        the system; read off its figure.
      gigabytes: memory that one run of a small network needs at most, to
        choose how many go at once; networks of `FULL_SIZE` go one by one.
    """

    name: str
    summary: str
    paper: str
    cost: str
    datasets: tuple[str, ...]
    systems: tuple[System, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    tables: tuple[str, ...]
    figures: tuple[str, ...] = ()
    controls: Mapping[str, Mapping[str, Quoted]] = field(default_factory=dict)
    speaker_errors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    gigabytes: float = 3.0
