"""Greedy InfoMax on five minutes of synthetic speech.

Paper row: none; the recipe of `librispeech_gim`, made small.
Expected:  see docs/results.md (mean and spread of 3 seeds).
Cost:      under 15 minutes on two CPU cores.
Command:   gim run --experiment flite_gim --output-dir outputs/flite_gim
"""

from gim_tf.config import (
    Conv1DConfig,
    DataConfig,
    Experiment,
    GRUConfig,
    InfoNCEConfig,
    LinearConfig,
    SequenceProbeConfig,
    StackConfig,
    TrainingConfig,
    WindowViewConfig,
)

EXPERIMENT = Experiment(
    name="flite_gim",
    summary="Greedy InfoMax, six small modules, on embedded synthetic speech",
    paper="(none: the LibriSpeech recipe made small)",
    cost="15 minutes on 2 cores",
    data=DataConfig(
        source="embedded_speech", sample_rate=16_000, min_samples=20_480
    ),
    view=WindowViewConfig(sample_rate=16_000, length=20_480, stride=160),
    stack=StackConfig(
        encoder=Conv1DConfig(
            channels=(64, 96, 128, 128, 128),
            kernel_sizes=(10, 8, 4, 4, 4),
            strides=(5, 4, 2, 2, 2),
            paddings=(2, 2, 2, 2, 1),
        ),
        module_sizes=(1, 1, 1, 1, 1, 0),  # the last one is the GRU alone
        autoregressor=GRUConfig(units=256),
        objective=InfoNCEConfig(
            prediction_steps=4,
            skip_steps=8,  # nearer frames are found without knowing phones
            num_negatives=10,
            negatives="permuted",
            window=128,
            fan_in="context",
        ),
    ),
    training=TrainingConfig(
        num_steps=1000,
        batch_size=8,
        learning_rate=1e-3,
        log_every=50,
        checkpoint_every=200,
    ),
    probe=SequenceProbeConfig(
        phone=LinearConfig(epochs=40, batch_size=256, learning_rate=3e-3),
        # Three steps an epoch: the paper's 50 epochs would end half way.
        speaker=LinearConfig(epochs=300, batch_size=64, learning_rate=3e-3),
    ),
)
