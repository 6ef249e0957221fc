"""Greedy InfoMax on 251 speakers of LibriSpeech, one utterance each.

Paper row: none; the recipe of `librispeech_gim` on half a percent of its data.
           The task is speaker identification: each recording of at least ten
           seconds (200 of them) is divided, the first 65 % to train on and the
           last 28 % to be tested on. No sample of a test part is ever trained
           on, labelled or not.
Expected:  see docs/results.md, as far as it was run.
Cost:      20 minutes on two CPU cores.
Command:   gim run --experiment librispeech_mini_gim \
               --data librispeech-mini.tar \
               --output-dir outputs/librispeech_mini_gim
"""

import dataclasses

from gim_tf.config import (
    DataConfig,
    LinearConfig,
    SequenceProbeConfig,
    TrainingConfig,
)
from gim_tf.experiments.flite_gim import EXPERIMENT as FLITE

EXPERIMENT = dataclasses.replace(
    FLITE,
    name="librispeech_mini_gim",
    summary="Greedy InfoMax, six small modules, on 251 speakers",
    paper="(none: the LibriSpeech recipe on 52 minutes)",
    cost="20 minutes on 2 cores",
    data=DataConfig(
        source="librispeech",
        pretrain_split="unlabelled",
        sample_rate=16_000,
        min_samples=20_480,
        train_share=0.65,
        test_share=0.28,
        min_divided=160_000,
    ),
    training=TrainingConfig(
        num_steps=3200,
        batch_size=8,
        learning_rate=1e-3,
        log_every=100,
        checkpoint_every=400,
    ),
    probe=SequenceProbeConfig(
        tasks=("speaker",),
        speaker=LinearConfig(epochs=300, batch_size=64, learning_rate=3e-3),
    ),
)
