"""What each task of the probes is called, and its results in a summary.

A summary has `probes.<task>.<module>` and `controls.<task>`, but for the task
`class`, whose results stand without the level of tasks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gim_tf.inspection.curves import as_float, module_names

UNTRAINED = "untrained_"
GAIN = "gain"
SCORE = "linear_top1"
"""The result that stands for a task where there is room for one."""


class Words(NamedTuple):
    """How a task is spoken of.

    Attributes:
      title: what is told from the features.
      answer: what a classifier does in a given share of cases.
      labelled: what the probe was shown, a count before it.
      results: (key of a result, title) of each panel of a chart, where the
        untrained network stands beside it; the first one is `SCORE`.
      columns: (key of a result, title) of each column of a table.
      controls: (key of a control, title), those comparable with `SCORE`.
      note: why a control may be better, for the report.
    """

    title: str
    answer: str
    labelled: str
    results: tuple[tuple[str, str], ...]
    columns: tuple[tuple[str, str], ...]
    controls: tuple[tuple[str, str], ...]
    note: str


_GAIN = ((f"{UNTRAINED}{SCORE}", "untrained"), (GAIN, "gain"))
_GUESS = ("chance", "a guess")
_CLASSIC = (
    (f"mfcc_{SCORE}", "MFCC with deltas"),
    (f"log_mel_{SCORE}", "log-mel"),
    _GUESS,
)
WORDS = {
    "class": Words(
        "Classes",
        "name {share} of unseen examples correctly",
        "labelled ones",
        (
            (SCORE, "Linear probe, pooled"),
            ("linear_grid_top1", "Linear probe, whole grid"),
            ("knn_top1", "Nearest neighbours"),
        ),
        (
            (SCORE, "linear"),
            ("linear_grid_top1", "grid"),
            ("knn_top1", "kNN"),
            *_GAIN,
        ),
        (("raw_top1", "linear on raw input"), _GUESS),
        "Pooling drops where things are; the grid probe keeps it.",
    ),
    "phone": Words(
        "Phones",
        "name the phone in {share} of unseen frames",
        "labelled frames",
        (
            (SCORE, "Phones, voices that were heard"),
            ("held_out_voice_top1", "Phones, unheard voices"),
        ),
        (
            (SCORE, "phones"),
            *_GAIN,
            ("held_out_voice_top1", "unheard voices"),
            (f"{UNTRAINED}held_out_voice_top1", "untrained"),
        ),
        _CLASSIC,
        "Those features were made for such recordings by hand.",
    ),
    "speaker": Words(
        "Speakers",
        "name the speaker of {share} of unseen windows",
        "labelled windows",
        (
            (SCORE, "Speakers, mean over a window"),
            ("linear_stats_top1", "Mean and deviation"),
            ("recording_top1", "Recordings, summed windows"),
            ("whole_stats_top1", "Recordings, one vector"),
        ),
        (
            (SCORE, "speakers"),
            *_GAIN,
            ("linear_stats_top1", "mean+dev."),
            (f"{UNTRAINED}linear_stats_top1", "untrained"),
            ("recording_top1", "recordings"),
            (f"{UNTRAINED}recording_top1", "untrained"),
            ("whole_stats_top1", "one vector"),
            (f"{UNTRAINED}whole_stats_top1", "untrained"),
        ),
        _CLASSIC,
        "Those features were made for such recordings by hand.",
    ),
}


class Task(NamedTuple):
    """Results of one task; those of modules and of controls, in [0, 1]."""

    name: str
    modules: Mapping[str, Mapping[str, Any]]
    controls: Mapping[str, Any]

    @property
    def words(self) -> Words:
        """How the task is spoken of."""
        return WORDS[self.name]

    @property
    def names(self) -> list[str]:
        """The modules, by depth."""
        return module_names(self.modules)

    def value(self, module: str, key: str) -> float:
        """One result, NaN where it was not measured."""
        return as_float((self.modules.get(module) or {}).get(key))

    def measured(
        self, results: tuple[tuple[str, str], ...]
    ) -> list[tuple[str, str]]:
        """Those of `results` that some module has; the gain with its parts."""

        def key_of(key: str) -> str:
            return f"{UNTRAINED}{SCORE}" if key == GAIN else key

        return [
            (key, title)
            for key, title in results
            if any(
                math.isfinite(self.value(m, key_of(key))) for m in self.names
            )
        ]

    def known_controls(self, score: str = SCORE) -> list[tuple[str, float]]:
        """(title, accuracy) of each control that was measured.

        Args:
          score: the result that they are compared with.
        """
        known = [
            (title, as_float(self.controls.get(key.replace(SCORE, score))))
            for key, title in self.words.controls
        ]
        return [(title, v) for title, v in known if math.isfinite(v)]

    def control_rows(
        self, results: Sequence[tuple[str, str]]
    ) -> list[tuple[str, list[float]]]:
        """(title, accuracy in each column) of each control.

        Args:
          results: the columns; NaN where the control was not measured by it.
        """
        rows = []
        for key, title in self.words.controls:
            # One measure of its own: beside the result that it is of.
            alone = key != _GUESS[0] and SCORE not in key
            values = [
                math.nan
                if alone and result != SCORE
                else as_float(self.controls.get(key.replace(SCORE, result)))
                for result, _ in results
            ]
            hidden = (UNTRAINED, GAIN)
            shown = [
                math.nan if result.startswith(hidden) else value
                for (result, _), value in zip(results, values, strict=True)
            ]
            if any(map(math.isfinite, shown)):
                rows.append((title, shown))
        return rows


def tasks(summary: Mapping[str, Any]) -> list[Task]:
    """All tasks that were probed, the most important first."""
    probes, controls = summary.get("probes"), summary.get("controls") or {}
    if not probes:
        return []
    if module_names(probes):
        return [Task("class", probes, controls)]
    return [
        Task(name, modules, controls.get(name) or {})
        for name, modules in probes.items()
        if name in WORDS
    ]
