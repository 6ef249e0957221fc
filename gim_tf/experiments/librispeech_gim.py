"""Greedy InfoMax on LibriSpeech: the paper's audio recipe.

Paper row: "Greedy InfoMax", LibriSpeech train-clean-100, linear probes of
           phones and speakers on the last module.
Expected:  speakers 99.4 % in the paper (from secondary sources), phones 62.5 %
           (from memory, unverified); not run by us.
Cost:      100 hours of speech, 300 epochs; days on one GPU.
Differs:   the probes, see the rows "probe of audio" in docs/fidelity.md.
Command:   gim run --experiment librispeech_gim --data LibriSpeech/ \
               --output-dir outputs/librispeech_gim
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
    name="librispeech_gim",
    summary="Greedy InfoMax, five convolutions and a GRU, on LibriSpeech",
    paper="LibriSpeech, Greedy InfoMax",
    cost="days on one GPU",
    data=DataConfig(
        source="librispeech",
        holdout=0.2,  # where there are no lists of the paper's splits
        sample_rate=16_000,
        min_samples=20_480,  # a training window
    ),
    view=WindowViewConfig(
        sample_rate=16_000,
        length=20_480,  # 1.28 s, which become 128 frames
        stride=160,  # the encoder's hop
        mean=-0.000678105,  # of train-clean-100, the authors' constants
        std=0.0630056,
    ),
    stack=StackConfig(
        encoder=Conv1DConfig(
            channels=(512, 512, 512, 512, 512),
            kernel_sizes=(10, 8, 4, 4, 4),
            strides=(5, 4, 2, 2, 2),
            paddings=(2, 2, 2, 2, 1),
        ),
        module_sizes=(1, 1, 1, 1, 1, 0),  # the last one is the GRU alone
        autoregressor=GRUConfig(units=256),
        objective=InfoNCEConfig(
            prediction_steps=12,
            num_negatives=10,
            negatives="permuted",
            window=128,
            fan_in="context",
        ),
    ),
    training=TrainingConfig(
        num_steps=300 * (22_830 // 8),  # audio_traineval.sh; not 1000
        batch_size=8,
        learning_rate=2e-4,
        log_every=100,
        checkpoint_every=1000,
    ),
    probe=SequenceProbeConfig(
        # Theirs takes 78 times as many steps, at 1e-4.
        phone=LinearConfig(epochs=20, batch_size=1024, learning_rate=1e-3),
        speaker=LinearConfig(epochs=50, batch_size=64, learning_rate=1e-3),
    ),
)
