"""How frozen features are probed, and what they must reach to be served."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Linear and kNN probes of the class of each example: the task `class`.

    `l2` weighs the squared weights; `grid` also probes the unpooled grid;
    `module_sizes` is that of `SequenceProbeConfig`.
    """

    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 3e-3
    l2: float = 1e-4
    knn_k: int = 20
    knn_temperature: float = 0.07
    grid: bool = True
    module_sizes: tuple[int, ...] = ()
    kind: Literal["examples"] = "examples"

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of what is probed, most important first."""
        return ("class",)


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """How one linear probe is fitted; `l2` weighs the squared weights."""

    epochs: int
    batch_size: int
    learning_rate: float
    l2: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SequenceProbeConfig:
    """Linear probes of recordings.

    Attributes:
      tasks: of "phone", the label of each frame, and "speaker", the class of
        each window; the first one decides where one figure is asked for.
      phone: how the probes of frames are fitted.
      speaker: how the probes of windows are fitted.
      alignment: which frame a label is about. "end": the last label is of the
        last frame, as the authors have it, whose frame is then 140 or 300
        samples behind its label; "centre": the frame nearest to it.
      voice_folds: groups of speakers, each left out once for the figure on
        unheard voices; at most the number of speakers.
      module_sizes: blocks of each part that is probed and exported, where
        these are not the modules as they were trained; none: these. So a
        network that was trained end to end has representations by depth.
    """

    tasks: tuple[str, ...] = ("phone", "speaker")
    phone: LinearConfig = field(
        default_factory=lambda: LinearConfig(
            epochs=20, batch_size=256, learning_rate=1e-3
        )
    )
    speaker: LinearConfig = field(
        default_factory=lambda: LinearConfig(
            epochs=50, batch_size=64, learning_rate=1e-3
        )
    )
    alignment: Literal["end", "centre"] = "end"
    voice_folds: int = 4
    module_sizes: tuple[int, ...] = ()
    kind: Literal["sequences"] = "sequences"


@dataclass(frozen=True, kw_only=True)
class BlessingConfig:
    """What an encoder must reach to be pushed, as accuracy in [0, 1].

    The last module's linear probe of the first task must beat the untrained
    encoder's by `margin`, and the last blessed model's minus `tolerance`.
    """

    margin: float = 0.05
    tolerance: float = 0.02
