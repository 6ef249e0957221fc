"""What the modules of a stack learn from, a dataclass a kind.

`needs_labels` says whether examples without a label teach nothing.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True)
class InfoNCEConfig:
    """Local InfoNCE; see `gim_tf.losses.info_nce.InfoNCE`.

    Attributes:
      prediction_steps: K, offsets that are predicted.
      num_negatives: N, negatives of each anchor.
      skip_steps: time steps left out between anchor and nearest target.
      negatives: where they come from; see `gim_tf.losses.negatives`.
      window: time steps that anchors and targets are restricted to, where
        there are more; None: all.
      fan_in: whose channels bound the initial W_k.
      log_offset: added to the softmax inside the logarithm; 0 is stable.
    """

    prediction_steps: int
    num_negatives: int
    skip_steps: int = 0
    negatives: Literal["uniform", "permuted", "shifted", "sequence"] = "uniform"
    window: int | None = None
    fan_in: Literal["target", "context"] = "target"
    log_offset: float = 0.0
    kind: Literal["info_nce"] = "info_nce"

    needs_labels: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """Cross-entropy of a linear head; see `gim_tf.losses.supervised`.

    Attributes:
      labels_of: what has the label that is learnt: the "example", from the
        mean over the grid, or each "frame" of a recording, from its own
        context.
    """

    labels_of: Literal["example", "frame"] = "example"
    kind: Literal["supervised"] = "supervised"

    needs_labels: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class DeepInfoMaxConfig:
    """Local Deep InfoMax; see `gim_tf.losses.deep_infomax`.

    Attributes:
      mi_units: channels that local and global features are compared in.
    """

    mi_units: int = 1024
    kind: Literal["deep_infomax"] = "deep_infomax"

    needs_labels: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class PredSimConfig:
    """Similarity matching and cross-entropy; see `gim_tf.losses.predsim`.

    Attributes:
      similarity_weight: share of similarity matching in the loss.
      similarity_of: what examples are compared by: the deviations of each
        channel over the grid, or all positions.
    """

    similarity_weight: float = 0.99
    similarity_of: Literal["deviations", "positions"] = "deviations"
    kind: Literal["predsim"] = "predsim"

    needs_labels: ClassVar[bool] = True
