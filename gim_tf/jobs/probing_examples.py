"""Probes of examples with one label each: the task `class`."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf import build
from gim_tf.config import Experiment, ProbeConfig
from gim_tf.data.input_pipeline import evaluation_batches
from gim_tf.export.saved_model import save_classifier, signature_function
from gim_tf.jobs import exciting
from gim_tf.jobs.controls import Controls
from gim_tf.jobs.probed import Probed, beside, task_results
from gim_tf.paths import Place
from gim_tf.probes.evaluation import (
    ModuleScores,
    ProbeSettings,
    majority_top1,
    score_modules,
)
from gim_tf.probes.representations import (
    EncodeGrid,
    Representations,
    Watch,
    collect,
)
from gim_tf.stack import divided

_LOG = logging.getLogger(__name__)
_ENCODE_BATCH = 200
_RAW = "raw"


def probe_examples(
    experiment: Experiment,
    encoder: Any,
    train_files: Sequence[str],
    test_files: Sequence[str],
    controls: Controls,
) -> Probed:
    """Probes every module of a loaded export; see `gim_tf.jobs.probe`."""
    splits = Splits(experiment, train_files, test_files)
    watch = exciting.Watch(exciting.K)
    trained = splits.represent(signature_function(encoder, "grid"), watch=watch)
    _LOG.info("Probing %d modules.", len(trained.train.pooled))
    scores = score_modules(*trained, splits.settings)
    trained = trained.without_grid()  # hundreds of MB, if not GB
    _LOG.info("Probing the untrained control and raw inputs.")
    control = controls.untrained(
        "untrained",
        lambda: _accuracies(
            score_modules(
                *splits.represent(untrained(experiment)), splits.settings
            )
        ),
    )
    raw = controls.raw(
        _RAW,
        lambda: _accuracies(
            score_modules(
                *splits.represent(_raw, with_grid=False), splits.settings
            )
        ),
    )[_RAW]
    class_names = experiment.data.class_names
    labels = trained.test.labels
    excited = exciting.figure(
        experiment, watch, test_files, split=experiment.data.test_split
    )
    results = task_results(
        beside(_accuracies(scores), control),
        {
            "raw_top1": raw["linear_top1"],
            "raw_knn_top1": raw["knn_top1"],
            "chance": majority_top1(trained.train.labels, labels),
        },
        predicted=list(scores.values())[-1].predicted,
        labels=labels,
        num_train=len(trained.train.labels),
        class_names=class_names,
    )
    return Probed(
        tasks={"class": results},
        save=_saver(scores, class_names),
        features=trained.test.pooled,
        metadata={"class": [class_names[label] for label in labels]},
        views=splits.test_examples(),
        pictures={"neurons": excited.png},
        neurons=excited.neurons,
    )


class TrainTest(NamedTuple):
    """Both splits by one encoder."""

    train: Representations
    test: Representations

    def without_grid(self) -> "TrainTest":
        """Without the unpooled features."""
        return TrainTest(*(split._replace(grid={}) for split in self))


class Splits:
    """The labelled splits, encoded as often as there are encoders."""

    def __init__(
        self,
        experiment: Experiment,
        train_files: Sequence[str],
        test_files: Sequence[str],
    ) -> None:
        probe_config = experiment.probe
        if not isinstance(probe_config, ProbeConfig):
            raise TypeError(f"Expected ProbeConfig, received {probe_config!r}.")
        decode = build.build_decode_one(experiment)
        self._with_grid = probe_config.grid
        self._train, self._test = (
            evaluation_batches(files, decode, _ENCODE_BATCH)
            for files in (train_files, test_files)
        )
        self.settings = ProbeSettings(
            num_classes=len(experiment.data.class_names),
            epochs=probe_config.epochs,
            batch_size=probe_config.batch_size,
            learning_rate=probe_config.learning_rate,
            l2=probe_config.l2,
            knn_k=probe_config.knn_k,
            knn_temperature=probe_config.knn_temperature,
            seed=experiment.training.seed,
        )

    def test_examples(self) -> np.ndarray:
        """[n, *example] uint8, all labelled examples of the test split."""
        return np.concatenate(
            [
                examples.numpy()[labels.numpy() >= 0].astype(np.uint8)
                for examples, labels in self._test
            ]
        )

    def represent(
        self,
        encode: EncodeGrid,
        *,
        with_grid: bool = True,
        watch: Watch | None = None,
    ) -> TrainTest:
        """Features of both splits; the grid only where it is probed.

        Args:
          encode: frozen.
          with_grid: False: never the grid.
          watch: sees the test split in passing.
        """
        with_grid = with_grid and self._with_grid
        return TrainTest(
            collect(encode, self._train, with_grid=with_grid),
            collect(encode, self._test, with_grid=with_grid, watch=watch),
        )


def untrained(experiment: Experiment) -> EncodeGrid:
    """The same stack as it was before its first step."""
    stack = divided(build.build_stack(experiment), experiment.probed_sizes)
    to_grid = build.build_preprocess(experiment).to_grid
    return tf.function(
        lambda examples: stack.grids(to_grid(examples)),
        reduce_retracing=True,
        autograph=False,
    )


def _raw(examples: tf.Tensor) -> dict[str, tf.Tensor]:
    """Inputs as decoded, as a grid of one cell."""
    flat = tf.reshape(examples, (tf.shape(examples)[0], 1, 1, -1))
    return {_RAW: flat}


def _accuracies(
    scores: Mapping[str, ModuleScores],
) -> dict[str, dict[str, float | None]]:
    keys = ("linear_top1", "linear_grid_top1", "knn_top1")
    return {
        name: {key: getattr(score, key) for key in keys}
        for name, score in scores.items()
    }


def _saver(
    scores: Mapping[str, ModuleScores], class_names: Sequence[str]
) -> Any:
    last = list(scores)[-1]

    def save(
        model_dir: Place,
        directory: Place,
        facts: Mapping[str, Any],
        documents: Mapping[str, str],
    ) -> None:
        save_classifier(
            model_dir,
            directory,
            module=last,
            kernel=scores[last].head.kernel,
            bias=scores[last].head.bias,
            class_names=class_names,
            facts=facts,
            documents=documents,
        )

    return save
