"""The job `probe`: from an exported encoder to accuracies and a classifier."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf import build, config
from gim_tf.config import Experiment
from gim_tf.data.input_pipeline import evaluation_batches
from gim_tf.export.manifest import read_manifest
from gim_tf.export.saved_model import (
    load_encoder,
    save_classifier,
    signature_function,
)
from gim_tf.inspection import projector, tensorboard
from gim_tf.probes.evaluation import (
    ModuleScores,
    ProbeSettings,
    majority_top1,
    score_modules,
)
from gim_tf.probes.linear_probe import confusion_matrix
from gim_tf.probes.representations import EncodeGrid, Representations, collect

_LOG = logging.getLogger(__name__)
_ENCODE_BATCH = 200
_RAW = "raw"


def probe(
    experiment: Experiment,
    model_dir: str | Path,
    train_files: Sequence[str],
    test_files: Sequence[str],
    output_dir: str | Path,
    *,
    tensorboard_dir: str | Path,
) -> dict[str, Any]:
    """Probes an exported encoder, and writes it again with a classifier.

    Writes `probes.json` and `model/`, the same SavedModel with `classify`.

    Args:
      experiment: probe settings, and the recipe of the untrained control.
      model_dir: the export; it is what is probed.
      train_files: TFRecord files that the probes are fitted on.
      test_files: TFRecord files that they are scored on.
      output_dir: created if missing.
      tensorboard_dir: for accuracies, confusion matrix and projector.

    Returns:
      The content of `probes.json`.

    Raises:
      DataError: a split without labels.
      ExportError: the export is missing or altered.
    """
    splits = _Splits(experiment, train_files, test_files)
    encoder, manifest = load_encoder(model_dir), read_manifest(model_dir)
    trained = splits.represent(signature_function(encoder, "grid"))
    _LOG.info("Probing %d modules.", len(trained.train.pooled))
    scores = score_modules(*trained, splits.settings)
    trained = trained.without_grid()  # hundreds of MB, if not GB
    _LOG.info("Probing the untrained control and raw inputs.")
    control = score_modules(
        *splits.represent(_untrained(experiment)), splits.settings
    )
    raw = score_modules(
        *splits.represent(_raw, with_grid=False), splits.settings
    )[_RAW]
    result = {
        "modules": _accuracies(scores, control),
        "controls": {
            "raw_top1": raw.linear_top1,
            "raw_knn_top1": raw.knn_top1,
            "chance": majority_top1(trained.train.labels, trained.test.labels),
        },
        "versions": manifest["versions"],
        **_details(experiment, scores, trained),
    }
    _write(experiment, scores, result, Path(model_dir), Path(output_dir))
    tensorboard.write_probes(
        str(tensorboard_dir),
        result,
        experiment=config.to_dict(experiment),
        step=manifest["step"],
    )
    projector.write_projector(
        str(tensorboard_dir),
        trained.test.pooled,
        {"class": [result["class_names"][i] for i in trained.test.labels]},
        views=splits.test_examples(),
    )
    return result


class _TrainTest(NamedTuple):
    train: Representations
    test: Representations

    def without_grid(self) -> "_TrainTest":
        return _TrainTest(*(split._replace(grid={}) for split in self))


class _Splits:
    """The labelled splits, encoded as often as there are encoders."""

    def __init__(
        self,
        experiment: Experiment,
        train_files: Sequence[str],
        test_files: Sequence[str],
    ) -> None:
        probe_config = experiment.probe
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
        self, encode: EncodeGrid, *, with_grid: bool = True
    ) -> _TrainTest:
        with_grid = with_grid and self._with_grid
        return _TrainTest(
            collect(encode, self._train, with_grid=with_grid),
            collect(encode, self._test, with_grid=with_grid),
        )


def _untrained(experiment: Experiment) -> EncodeGrid:
    """The same stack as it was before its first step."""
    stack = build.build_stack(experiment)
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
    scores: Mapping[str, ModuleScores], control: Mapping[str, ModuleScores]
) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            "linear_top1": score.linear_top1,
            "linear_grid_top1": score.linear_grid_top1,
            "knn_top1": score.knn_top1,
            "untrained_linear_top1": control[name].linear_top1,
            "untrained_linear_grid_top1": control[name].linear_grid_top1,
            "untrained_knn_top1": control[name].knn_top1,
        }
        for name, score in scores.items()
    }


def _details(
    experiment: Experiment,
    scores: Mapping[str, ModuleScores],
    splits: _TrainTest,
) -> dict[str, Any]:
    last = list(scores.values())[-1]
    class_names = list(experiment.data.class_names)
    confusion = confusion_matrix(
        last.predicted, splits.test.labels, len(class_names)
    )
    return {
        "confusion": confusion.tolist(),
        "class_names": class_names,
        "settings": vars(experiment.probe),
        "counts": {
            "train": len(splits.train.labels),
            "test": len(splits.test.labels),
        },
    }


def _write(
    experiment: Experiment,
    scores: Mapping[str, ModuleScores],
    result: Mapping[str, Any],
    model_dir: Path,
    output_dir: Path,
) -> None:
    output_dir.mkdir(parents=True, exist_ok=True)
    last = list(scores)[-1]
    save_classifier(
        model_dir,
        output_dir / "model",
        module=last,
        kernel=scores[last].head.kernel,
        bias=scores[last].head.bias,
        class_names=experiment.data.class_names,
        facts={"probes": result["modules"]},
    )
    text = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (output_dir / "probes.json").write_text(text)
