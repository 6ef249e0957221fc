"""Frozen dataclasses that describe one experiment.

Every value that decides a run stands here, in one tree.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from, and what must hold for them.

    Attributes:
      source: name of a reader, see `gim_tf.data.sources`.
      path: file or folder that the reader opens; None for embedded data.
      class_names: one name a class, in label order.
      pretrain_split: split read without its labels by pretraining.
      train_split: labelled split that the probes are fitted on.
      test_split: labelled split that the probes are scored on.
      holdout: share of the examples that becomes `test` where the source has
        no test split of its own; decided by a hash of each example's id.
      max_bad: number of unreadable examples that are tolerated (and listed).
      min_examples: smallest count that each split must have.
    """

    source: str
    class_names: tuple[str, ...]
    path: str | None = None
    pretrain_split: str = "train"
    train_split: str = "train"
    test_split: str = "test"
    holdout: float = 0.0
    max_bad: int = 0
    min_examples: int = 1

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of all splits in use, pretraining first."""
        used = (self.pretrain_split, self.train_split, self.test_split)
        return tuple(dict.fromkeys(used))


@dataclass(frozen=True, kw_only=True)
class PatchViewConfig:
    """A random crop for training, a centre crop otherwise, cut to patches.

    Sizes are in pixels. `size` is the side that stored examples have (others
    are resized to it), `pad_to` the side after zero padding, `crop_size` the
    side of the view. `mean` and `std` are on the [0, 1] scale, per channel.
    """

    size: int
    pad_to: int
    crop_size: int
    channels: Literal[1, 3]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    patch_size: int
    patch_stride: int
    flip_probability: float = 0.5
    kind: Literal["patches"] = "patches"

    @property
    def grid_side(self) -> int:
        """Patches along each side of a view."""
        return (self.crop_size - self.patch_size) // self.patch_stride + 1


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """A norm-free pre-activation ResNet, as a list of blocks.

    Attributes:
      block: "basic" (two 3x3) or "bottleneck" (1x1, 3x3, 1x1 with expansion).
      stem_channels: output channels of the first convolution (5x5).
      stem_strides: its stride; 1 in the paper.
      planes: width of each stage; a bottleneck's output is `expansion` times
        as wide.
      depths: blocks of each stage.
      expansion: output channels of a bottleneck, in units of its width.
    """

    block: Literal["basic", "bottleneck"]
    stem_channels: int
    planes: tuple[int, ...]
    depths: tuple[int, ...]
    expansion: int = 4
    stem_strides: int = 1
    kind: Literal["resnet"] = "resnet"


@dataclass(frozen=True, kw_only=True)
class InfoNCEConfig:
    """Local InfoNCE; see `gim_tf.losses.info_nce.InfoNCE`."""

    prediction_steps: int
    num_negatives: int
    skip_steps: int = 0
    negatives: Literal["uniform"] = "uniform"
    kind: Literal["info_nce"] = "info_nce"


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Cross-entropy of a linear head; see `gim_tf.losses.supervised`."""

    kind: Literal["supervised"] = "supervised"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The encoder, its division into modules, and their objective.

    Attributes:
      encoder: what the blocks are.
      module_sizes: blocks of each module, in order; (n,) trains end to end.
      objective: the local objective of every module.
    """

    encoder: ResNetConfig
    module_sizes: tuple[int, ...]
    objective: InfoNCEConfig | SupervisedConfig

    @property
    def num_modules(self) -> int:
        """Number of gradient-isolated modules."""
        return len(self.module_sizes)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the modules are trained.

    Attributes:
      num_steps: updates of each module.
      batch_size: examples a step.
      learning_rate: Adam's step size.
      epsilon: Adam's denominator offset (1e-8 in the authors' framework).
      schedule: "simultaneous": every module at each step; "sequential": one
        module after the other, each `num_steps` long, those below frozen.
      seed: of weights, batches, views and negatives.
      shuffle_buffer: examples held for shuffling.
      log_every: steps between log lines.
      checkpoint_every: steps between checkpoints.
      deterministic: bit-identical results for a seed on one machine.
    """

    num_steps: int
    batch_size: int
    learning_rate: float = 2e-4
    epsilon: float = 1e-8
    schedule: Literal["simultaneous", "sequential"] = "simultaneous"
    seed: int = 0
    shuffle_buffer: int = 10_000
    log_every: int = 50
    checkpoint_every: int = 200
    deterministic: bool = True


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """Linear and kNN probes on frozen features.

    `l2` weighs the squared weights; `grid` also probes the unpooled grid.
    """

    epochs: int = 40
    batch_size: int = 256
    learning_rate: float = 3e-3
    l2: float = 1e-4
    knn_k: int = 20
    knn_temperature: float = 0.07
    grid: bool = True


@dataclass(frozen=True, kw_only=True)
class BlessingConfig:
    """What an encoder must reach to be pushed, as accuracy in [0, 1].

    The last module's linear probe must beat the untrained encoder's by
    `margin`, and the last blessed model's minus `tolerance`.
    """

    margin: float = 0.05
    tolerance: float = 0.02


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment: everything that decides its result.

    `paper`, `cost` and `summary` are for `gim experiments`.
    """

    name: str
    summary: str
    paper: str
    cost: str
    data: DataConfig
    view: PatchViewConfig
    stack: StackConfig
    training: TrainingConfig
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    blessing: BlessingConfig = field(default_factory=BlessingConfig)


KINDS = {
    "patches": PatchViewConfig,
    "resnet": ResNetConfig,
    "info_nce": InfoNCEConfig,
    "supervised": SupervisedConfig,
}
"""Dataclass of each `kind`."""
