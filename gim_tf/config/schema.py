"""Frozen dataclasses that describe one experiment.

Every value that decides a run stands here, in one tree.
"""

from dataclasses import dataclass, field
from typing import Literal

from gim_tf.config.encoders import Conv1DConfig, Conv2DConfig, ResNetConfig
from gim_tf.config.objectives import (
    DeepInfoMaxConfig,
    InfoNCEConfig,
    PredSimConfig,
    SupervisedConfig,
)
from gim_tf.config.probes import (
    BlessingConfig,
    ProbeConfig,
    SequenceProbeConfig,
)
from gim_tf.config.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where examples come from, and what must hold for them.

    Attributes:
      source: name of a reader, see `gim_tf.data.sources`.
      path: file or folder that the reader opens; None for embedded data.
      class_names: one name a class, in label order; none where the source
        names them, and any label from 0 on may stand.
      pretrain_split: split read without its labels by pretraining.
      train_split: labelled split that the probes are fitted on.
      test_split: labelled split that the probes are scored on.
      holdout: share of the examples that becomes `test` where the source has
        no test split of its own; decided by a hash of each example's id.
      max_bad: number of unreadable examples that are tolerated (and listed);
        of a recording that is divided, each part is one.
      min_examples: smallest count that each split must have.
      sample_rate: samples a second that every recording must have; None for
        sources of other data.
      min_samples: the least samples that a recording must have, likewise.
      resample: convert recordings of other rates instead of refusing them.
      downmix: average the channels of a recording instead of refusing it.
      frame_labels: file with a label every 10 ms of each recording; None:
        `converted_aligned_phones.txt` below `path`, where there is one.
      frame_names: one name a frame label; none: the source's, or numbers.
      train_share: share of each recording, from its start, that becomes split
        `train`; 0: recordings are not divided.
      test_share: share, from its end, that becomes split `test`, likewise.
      min_divided: samples from which on a recording is divided; shorter ones,
        and all training parts, make up the split `unlabelled`.
    """

    source: str
    class_names: tuple[str, ...] = ()
    path: str | None = None
    pretrain_split: str = "train"
    train_split: str = "train"
    test_split: str = "test"
    holdout: float = 0.0
    max_bad: int = 0
    min_examples: int = 1
    sample_rate: int | None = None
    min_samples: int | None = None
    resample: bool = False
    downmix: bool = False
    frame_labels: str | None = None
    frame_names: tuple[str, ...] = ()
    train_share: float = 0.0
    test_share: float = 0.0
    min_divided: int = 0

    @property
    def max_label(self) -> int | None:
        """The largest label that may stand; None: any."""
        return len(self.class_names) - 1 if self.class_names else None

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

    @property
    def time_steps(self) -> int:
        """Rows of the grid, the time axis of the stack's input."""
        return self.grid_side


@dataclass(frozen=True, kw_only=True)
class WindowViewConfig:
    """A random window of a sequence for training, the whole for evaluation.

    Attributes:
      sample_rate: samples a second that every recording must have.
      length: samples of a training window.
      stride: windows start at multiples of this many samples, the hop of the
        encoder, so that frames and their labels stay aligned.
      mean: of the corpus, on the [-1, 1] scale; what `std` is the deviation
        of. A window becomes (x - mean) / std. None: of the pretraining split,
        computed at ingest.
      std: see `mean`.
    """

    sample_rate: int
    length: int
    stride: int
    mean: float | None = None
    std: float | None = None
    kind: Literal["window"] = "window"

    @property
    def time_steps(self) -> int:
        """Samples of a window, the time axis of the stack's input."""
        return self.length


@dataclass(frozen=True, kw_only=True)
class GRUConfig:
    """A recurrent context; see `gim_tf.encoders.autoregressors.GRUContext`.

    Attributes:
      units: channels of the context.
      backpropagate_through_time: False detaches the state at every step (the
        paper's "no BPTT").
    """

    units: int = 256
    backpropagate_through_time: bool = True
    kind: Literal["gru"] = "gru"


@dataclass(frozen=True, kw_only=True)
class MaskedConvConfig:
    """A gated masked-convolution context over the rows above.

    See `gim_tf.encoders.autoregressors.MaskedConvContext`.
    """

    num_layers: int = 4
    kind: Literal["masked_conv"] = "masked_conv"


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """The encoder, its division into modules, and their objective.

    Attributes:
      encoder: what the blocks are.
      module_sizes: blocks of each module, in order; (n,) trains end to end.
        A module of 0 blocks is an autoregressor alone.
      objective: the local objective of every module.
      autoregressor: makes the context that the objective predicts from;
        None: each position is its own context.
      autoregressor_at: the modules that have one.
      representation: what probes and the exported encoder see of a module
        with an autoregressor: its context, or z, which the next module reads.
    """

    encoder: ResNetConfig | Conv1DConfig | Conv2DConfig
    module_sizes: tuple[int, ...]
    objective: (
        InfoNCEConfig | SupervisedConfig | DeepInfoMaxConfig | PredSimConfig
    )
    autoregressor: GRUConfig | MaskedConvConfig | None = None
    autoregressor_at: Literal["last", "every"] = "last"
    representation: Literal["context", "z"] = "context"

    @property
    def num_modules(self) -> int:
        """Number of gradient-isolated modules."""
        return len(self.module_sizes)

    @property
    def learns_frames(self) -> bool:
        """Whether the objective learns a label of each frame."""
        return (
            isinstance(self.objective, SupervisedConfig)
            and self.objective.labels_of == "frame"
        )

    def has_autoregressor(self, index: int) -> bool:
        """Whether the module of that 0-based index has an autoregressor."""
        is_last = index == self.num_modules - 1
        return self.autoregressor is not None and (
            is_last or self.autoregressor_at == "every"
        )


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
    view: PatchViewConfig | WindowViewConfig
    stack: StackConfig
    training: TrainingConfig
    probe: ProbeConfig | SequenceProbeConfig = field(
        default_factory=ProbeConfig
    )
    blessing: BlessingConfig = field(default_factory=BlessingConfig)

    @property
    def probed_sizes(self) -> tuple[int, ...]:
        """Blocks of each part that probes and exports have, by depth."""
        return self.probe.module_sizes or self.stack.module_sizes


KINDS = {
    "patches": PatchViewConfig,
    "window": WindowViewConfig,
    "resnet": ResNetConfig,
    "conv_audio": Conv1DConfig,
    "conv_grid": Conv2DConfig,
    "gru": GRUConfig,
    "masked_conv": MaskedConvConfig,
    "info_nce": InfoNCEConfig,
    "supervised": SupervisedConfig,
    "deep_infomax": DeepInfoMaxConfig,
    "predsim": PredSimConfig,
    "examples": ProbeConfig,
    "sequences": SequenceProbeConfig,
}
"""Dataclass of each `kind`."""
