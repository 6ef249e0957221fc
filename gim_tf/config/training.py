"""How modules are trained, watched, and stopped."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the modules are trained.

    Attributes:
      num_steps: updates of each module, at most.
      batch_size: examples a step.
      learning_rate: Adam's step size.
      epsilon: Adam's denominator offset (1e-8 in the authors' framework).
      schedule: "simultaneous": every module at each step; "sequential": one
        module after the other, each `num_steps` long, those below frozen;
        "last": the last module alone, on those below as they are;
        "decoupled": a worker a module or group of modules, each at its own
        pace; see `gim_tf.training.decoupled`.
      strategy: "none": one device; "mirrored": each batch divided over all
        GPUs, or logical processors, of this process; "multiworker": over those
        of several processes, which TF_CONFIG names. A copy of all weights on
        each, gradients averaged; see `gim_tf.training.replicas`. Of
        "decoupled" workers each can be mirrored, over devices of its own.
      seed: of weights, batches, views and negatives.
      shuffle_buffer: examples held for shuffling.
      log_every: steps between log lines; one more ends each phase.
      checkpoint_every: steps between checkpoints.
      deterministic: bit-identical results for a seed on one machine.
      recompute_groups: above 1, a module's activations are computed twice
        instead of kept, in as many groups of a batch: less memory, more time.
      operations_in_turn: on processors, one operation at a time uses all
        cores: less memory, more time; see `gim_tf.training.threads`.
      jit_compile: XLA compiles each module's part of a step to one program:
        other rounding, minutes of compiling where a network is large.
      precision: of activations and products in training; weights, losses,
        and all that is exported stay float32. Where it is not float32 the
        processor must have such products: AVX-512 BF16, AMX, tensor cores.
        "mixed_float16" scales each module's loss, see
        `gim_tf.training.precision`.
      heldout_every: steps between two looks at the local losses on examples
        that are never trained on; 0: all examples are trained on.
      heldout_examples: of the pretraining split that are left out for it, by
        a hash of their ids; whole batches of them are evaluated.
      patience: evaluations without a better held-out loss after which a
        module stops training and gets its best weights back; 0: none stops.
      min_delta: nats by which a held-out loss must fall to be better.
      decoupled_mode: "ordered": every module trains on each batch once, in
        order, and the weights are those of "simultaneous"; "free_running": a
        module that is ahead trains on recent batches again, one that is
        behind leaves batches out.
      decoupled_queue: batches that may wait between two workers, and that a
        free-running one keeps to train on again.
    """

    num_steps: int
    batch_size: int
    learning_rate: float = 2e-4
    epsilon: float = 1e-8
    schedule: Literal["simultaneous", "sequential", "last", "decoupled"] = (
        "simultaneous"
    )
    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    seed: int = 0
    shuffle_buffer: int = 10_000
    log_every: int = 50
    checkpoint_every: int = 200
    deterministic: bool = True
    recompute_groups: int = 1
    operations_in_turn: bool = False
    jit_compile: bool = False
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    heldout_every: int = 0
    heldout_examples: int = 512
    patience: int = 0
    min_delta: float = 0.001
    decoupled_mode: Literal["ordered", "free_running"] = "ordered"
    decoupled_queue: int = 2
