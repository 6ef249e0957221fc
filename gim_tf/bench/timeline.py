"""`gim bench profile`: where a step's time goes, by module and by operation.

TensorFlow's profiler records each operation with its thread, start and end.
An operation's name tells its module and its pass: layers, tapes and the trainer
open name scopes.
"""

import collections
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from gim_tf.bench import machine
from gim_tf.bench.step import WARM_UP
from gim_tf.bench.stepper import Plan, Stepper
from gim_tf.errors import ConfigError
from gim_tf.inspection import style

FORWARD, BACKWARD, UPDATE = "forward", "backward", "update"
OTHER = "the rest"
_OPACITY = {FORWARD: 0.4, BACKWARD: 0.7, UPDATE: 1.0}
_KINDS = 12  # of operations, that a table names
# "module_1_backward/..", "gradient_tape/module_1_1/..", "module_1_1/..", where
# the last number makes a name unique.
_SCOPE = re.compile(
    r"(?P<tape>gradient_tape/)?(?P<module>module_\d+)"
    r"(?:_(?P<passing>backward|update))?(?:_\d+)?/"
)


class Span(NamedTuple):
    """One run of an operation.

    Attributes:
      thread: number of the thread that ran it, from 0.
      start: seconds since the first one.
      seconds: that it took.
      kind: of operation, such as "Conv2D".
      module: "module_1" ..; None where the name tells none.
      passing: `FORWARD`, `BACKWARD`, `UPDATE` or `OTHER`.
    """

    thread: int
    start: float
    seconds: float
    kind: str
    module: str | None
    passing: str


def profile(plan: Plan, *, steps: int, threads: int | None = 0) -> "Profile":
    """Records steps after the warm-up.

    Args:
      plan: what a step is.
      steps: that are recorded.
      threads: see `gim_tf.bench.machine.set_threads`.

    Raises:
      ConfigError: no step, or the profiler recorded no operation.
    """
    if steps < 1:
        raise ConfigError(f"--steps must be 1 or more, received {steps}.")
    threads = machine.set_threads(
        threads, in_turn=plan.experiment.training.operations_in_turn
    )
    stepper = Stepper(plan)
    for _ in range(WARM_UP):
        stepper.step()
    with tempfile.TemporaryDirectory() as directory:
        with tf.profiler.experimental.Profile(directory):
            for _ in range(steps):
                stepper.step()
        spans = list(_read(directory, stepper.stack.module_names))
    if not spans:
        raise ConfigError("TensorFlow's profiler recorded no operation.")
    return Profile(spans, steps, threads)


class Profile:
    """What was recorded, summed and drawn.

    Args:
      spans: of all steps.
      steps: how many they are.
      threads: that ran operations.
    """

    def __init__(self, spans: Sequence[Span], steps: int, threads: int) -> None:
        first = min(span.start for span in spans)
        self.spans = [span._replace(start=span.start - first) for span in spans]
        self.steps = steps
        self.threads = threads

    def as_dict(self) -> dict[str, Any]:
        """Milliseconds a step, over all threads, ready for JSON.

        Returns:
          "busy_ms", "wall_ms", "kinds": {kind: ms}, the longest first, and
          "passes": {"module_1": {"forward": ms, ...}, ...}.
        """
        kinds: collections.defaultdict[str, float] = collections.defaultdict(
            float
        )
        passes: dict[str, dict[str, float]] = {}
        for span in self.spans:
            ms = span.seconds * 1e3 / self.steps
            kinds[span.kind] += ms
            row = passes.setdefault(span.module or "-", {})
            row[span.passing] = row.get(span.passing, 0.0) + ms
        longest = sorted(kinds.items(), key=lambda item: -item[1])
        end = max(span.start + span.seconds for span in self.spans)
        return {
            "bench": "profile",
            "steps": self.steps,
            "threads": self.threads,
            "wall_ms": end * 1e3 / self.steps,
            "busy_ms": sum(kinds.values()),
            "kinds": dict(longest[:_KINDS]),
            "passes": {name: dict(passes[name]) for name in sorted(passes)},
        }

    def picture(self) -> bytes:
        """PNG: one row a thread, one bar an operation, of the last step.

        A module has its colour, from light (forward) to dark (update); what
        belongs to none is grey.
        """
        end = max(span.start + span.seconds for span in self.spans)
        begin = end * (self.steps - 1) / self.steps
        rows = {
            t: i for i, t in enumerate(sorted({s.thread for s in self.spans}))
        }
        figure, (ax,) = style.new_figure(1.2 + 0.5 * len(rows))
        for look, bars in _looks(self.spans).items():
            for row in rows.values():
                ax.broken_barh(
                    [
                        ((s.start - begin) * 1e3, s.seconds * 1e3)
                        for s in bars
                        if rows[s.thread] == row and s.start >= begin
                    ],
                    (row - 0.4, 0.8),
                    facecolor=look[1],
                    alpha=look[2],
                    linewidth=0,
                )
        ax.set_xlim(0, (end - begin) * 1e3)
        ax.set_yticks(
            list(rows.values()), [f"thread {row + 1}" for row in rows.values()]
        )
        style.label(ax, x="milliseconds of one step")
        _legend(ax, _looks(self.spans))
        return style.png(figure)


def _looks(
    spans: Sequence[Span],
) -> Mapping[tuple[str, str, float], list[Span]]:
    """Spans by (name of the legend, colour, opacity)."""
    found: dict[tuple[str, str, float], list[Span]] = {}
    for span in spans:
        if span.module:
            look = (
                f"{span.module.replace('_', ' ')}, {span.passing}",
                style.module_colour(span.module),
                _OPACITY[span.passing],
            )
        else:
            look = (OTHER, style.MUTED, 1.0)
        found.setdefault(look, []).append(span)
    # By module, in the order of a step.
    return dict(sorted(found.items(), key=_order))


def _order(item: tuple[tuple[str, str, float], Any]) -> tuple[str, float]:
    name, _, opacity = item[0]
    return name.partition(",")[0], opacity


def _legend(ax: Any, looks: Mapping[tuple[str, str, float], Any]) -> None:
    for name, colour, opacity in looks:
        ax.broken_barh([], (0, 0), facecolor=colour, alpha=opacity, label=name)
    ax.legend(
        ncols=3,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        frameon=False,
        fontsize=9,
    )


def _read(directory: str, modules: Sequence[str]) -> Iterator[Span]:
    for file in Path(directory).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            if "CPU" not in plane.name and "GPU" not in plane.name:
                continue
            names = {k: v.name for k, v in plane.event_metadata.items()}
            for thread, line in enumerate(plane.lines):
                for event in line.events:
                    name = names[event.metadata_id].split("#")[0]
                    path, _, kind = name.rpartition(":")
                    # Python's calls and whole functions are no operations.
                    if not path or not kind.isidentifier() or "::" in name:
                        continue
                    module, passing = _part(path, modules)
                    yield Span(
                        thread=thread,
                        start=line.timestamp_ns / 1e9 + event.offset_ps / 1e12,
                        seconds=event.duration_ps / 1e12,
                        kind=kind,
                        module=module,
                        passing=passing,
                    )


def _part(path: str, modules: Sequence[str]) -> tuple[str | None, str]:
    """The module and the pass of an operation's name."""
    found = _SCOPE.match(path)
    if found is None or found["module"] not in modules:
        return None, OTHER
    passing = BACKWARD if found["tape"] else found["passing"] or FORWARD
    return found["module"], passing
