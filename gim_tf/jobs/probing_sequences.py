"""Probes of sequences: the tasks `phone` and `speaker`.

Controls: the same network before its first step, two classic features of the
same signal (`mfcc`, `log_mel`), and the most frequent class.
"""

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Many
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from gim_tf import build
from gim_tf.config import (
    Experiment,
    LinearConfig,
    SequenceProbeConfig,
    WindowViewConfig,
)
from gim_tf.data import spectra
from gim_tf.data.alignments import FIELD
from gim_tf.data.input_pipeline import evaluation_sequences
from gim_tf.export.heads import Head
from gim_tf.export.saved_model import (
    save_sequence_classifier,
    signature_function,
)
from gim_tf.export.sequences import frames_only
from gim_tf.inspection.samples import sequence_picture
from gim_tf.inspection.spectrograms import Strip
from gim_tf.jobs import exciting
from gim_tf.jobs.controls import Controls, Scores
from gim_tf.jobs.probed import Probed, Save, beside, prefixed, task_results
from gim_tf.paths import Place
from gim_tf.probes.evaluation import majority_top1
from gim_tf.probes.linear_probe import LinearHead
from gim_tf.probes.sequences import (
    EncodeFrames,
    Fit,
    Rows,
    Sequence,
    collect_frames,
    collect_windows,
    means,
    score_frames,
    score_windows,
)
from gim_tf.stack import divided

_LOG = logging.getLogger(__name__)
# Rows of all modules of the paper's network take 3.4 GB at 300,000 frames.
_MAX_FRAMES = 300_000
TRAINED, UNTRAINED, _CLASSIC = "trained", "untrained", "classic"


class Measure(NamedTuple):
    """How one task is measured.

    Attributes:
      collect: (kind of encoder, encoder) -> rows of both splits.
      score: rows of both splits -> what was found, by name of the features.
      names: of the classes.
    """

    collect: Callable[[str, EncodeFrames], tuple[Rows, Rows]]
    score: Callable[[Rows, Rows], Mapping[str, Any]]
    names: Many[str]


class _Task(NamedTuple):
    """What one task found; `rows` are the test split's, by the encoder."""

    results: dict[str, Any]
    head: LinearHead
    predicted: np.ndarray
    rows: Rows


def probe_sequences(
    experiment: Experiment,
    encoder: Any,
    train_files: Many[str],
    test_files: Many[str],
    controls: Controls,
) -> Probed:
    """Probes every module of a loaded export; see `gim_tf.jobs.probe`."""
    splits = Splits(experiment, train_files, test_files)
    encode = exported(encoder)
    found = {}
    for task in splits.probe.tasks:
        _LOG.info("Probing the task %s.", task)
        measure = measured(splits, task)
        beside_it = {
            UNTRAINED: controls.untrained(
                f"untrained-{task}",
                partial(_scores, UNTRAINED, untrained(experiment), measure),
            ),
            _CLASSIC: controls.raw(
                f"classic-{task}",
                partial(
                    _scores,
                    _CLASSIC,
                    _classic(splits.view.sample_rate),
                    measure,
                ),
            ),
        }
        found[task] = _probed(encode, measure, beside_it)
    shown = found.get("speaker") or next(iter(found.values()))
    names = shown.results["class_names"]
    features = shown.rows.features
    excited = _exciting(experiment, encoder, test_files)
    if "speaker" in found:
        features = {name: means(x) for name, x in features.items()}
    return Probed(
        tasks={name: task.results for name, task in found.items()},
        save=_saver(splits, found),
        features=features,
        metadata={
            "class": [names[label] for label in shown.rows.labels],
            "recording": [str(index) for index in shown.rows.recordings],
        },
        views=None,
        pictures={
            **_pictures(experiment, splits, found),
            "neurons": excited.png,
        },
        neurons=excited.neurons,
    )


class Splits:
    """The recordings of both splits, and the settings of their probes."""

    def __init__(
        self,
        experiment: Experiment,
        train_files: Many[str],
        test_files: Many[str],
    ) -> None:
        probe, view = experiment.probe, experiment.view
        if not isinstance(probe, SequenceProbeConfig) or not isinstance(
            view, WindowViewConfig
        ):
            raise TypeError(f"Expected probes of sequences: {probe!r}.")
        self.probe, self.view = probe, view
        self.data = experiment.data
        self.seed = experiment.training.seed
        # The frame of the encoder that stands nearest to label 0.
        hop, first = build.frame_grid(experiment)
        self.lead = round((FIELD / 2 - first) / hop)
        decode = build.build_decode_one(experiment)
        self._train, self._test = (
            evaluation_sequences(files, decode)
            for files in (train_files, test_files)
        )

    def train(self) -> Iterator[Sequence]:
        """The recordings that probes are fitted on."""
        return _sequences(self._train)

    def test(self) -> Iterator[Sequence]:
        """The recordings that they are scored on."""
        return _sequences(self._test)

    def fit(self, settings: LinearConfig, num_classes: int) -> Fit:
        """How the probes of one task are fitted."""
        return Fit(
            num_classes=num_classes,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            l2=settings.l2,
            seed=self.seed,
        )

    def frames(self, kind: str, encode: EncodeFrames) -> tuple[Rows, Rows]:
        """Labelled frames of both splits, at most `_MAX_FRAMES` of each."""
        lead, alignment = self.lead, self.probe.alignment
        if kind == _CLASSIC:  # these have a frame exactly where a label is,
            lead, alignment = 0, "centre"  # also if labels lack at the end

        def rows(sequences: Callable[[], Iterator[Sequence]]) -> Rows:
            total = sum(len(one.labels) for one in sequences())
            return collect_frames(
                encode,
                sequences(),
                lead=lead,
                alignment=alignment,
                share=_MAX_FRAMES / max(total, _MAX_FRAMES),
                seed=self.seed,
            )

        return rows(self.train), rows(self.test)

    def windows(self, kind: str, encode: EncodeFrames) -> tuple[Rows, Rows]:
        """All windows of both splits, whatever the encoder."""
        del kind
        length = self.view.length
        return (
            collect_windows(encode, self.train(), length=length),
            collect_windows(encode, self.test(), length=length),
        )


def measured(splits: Splits, task: str) -> Measure:
    """How a task, "phone" or "speaker", is measured."""
    data, probe = splits.data, splits.probe
    if task == "phone":
        of_frames = splits.fit(probe.phone, len(data.frame_names))
        return Measure(
            splits.frames,
            lambda train, test: score_frames(
                train, test, of_frames, folds=probe.voice_folds
            ),
            data.frame_names,
        )
    of_windows = splits.fit(probe.speaker, len(data.class_names))
    return Measure(
        splits.windows,
        lambda train, test: score_windows(train, test, of_windows),
        data.class_names,
    )


def _scores(kind: str, encode: EncodeFrames, measure: Measure) -> Scores:
    """Accuracies of a control, by name of the features."""
    found = measure.score(*measure.collect(kind, encode))
    return {name: one.accuracies() for name, one in found.items()}


def _probed(
    encode: EncodeFrames, measure: Measure, controls: Mapping[str, Scores]
) -> _Task:
    """One task, on the features of the encoder, beside its controls."""
    train, test = measure.collect(TRAINED, encode)
    scores = measure.score(train, test)
    beyond: dict[str, float | None] = {
        "chance": majority_top1(train.labels, test.labels)
    }
    for name, found in controls[_CLASSIC].items():
        beyond.update(prefixed(name, found))
    last = list(scores.values())[-1]
    results = task_results(
        beside(
            {name: one.accuracies() for name, one in scores.items()},
            controls[UNTRAINED],
        ),
        beyond,
        predicted=last.predicted,
        labels=test.labels,
        num_train=len(train.labels),
        class_names=measure.names,
    )
    return _Task(results, last.head, last.predicted, test)


def _sequences(dataset: tf.data.Dataset) -> Iterator[Sequence]:
    for samples, label, frame_labels in dataset.as_numpy_iterator():
        yield Sequence(samples, int(label), frame_labels)


def exported(encoder: Any) -> EncodeFrames:
    """Frames by the export's own signature: what is probed is served."""
    encode = signature_function(encoder, "tensor")
    return lambda samples: frames_only(encode(samples))


def untrained(experiment: Experiment) -> EncodeFrames:
    """The same stack as it was before its first step."""
    stack = divided(build.build_stack(experiment), experiment.probed_sizes)
    frames = build.build_frames(experiment, stack)
    to_grid = build.build_preprocess(experiment).to_grid
    return tf.function(
        lambda samples: frames(to_grid(samples)),
        input_signature=[tf.TensorSpec((None, None), tf.float32)],
        autograph=False,
    )


def _classic(sample_rate: int) -> EncodeFrames:
    """What is made by hand, of samples as they are."""
    return lambda samples: {
        "mfcc": spectra.mfcc(samples, sample_rate=sample_rate),
        "log_mel": spectra.log_mel(samples, sample_rate=sample_rate),
    }


def _saver(splits: Splits, found: Mapping[str, _Task]) -> Save:
    def head(task: str) -> Head | None:
        if task not in found:
            return None
        linear = found[task].head
        names = found[task].results["class_names"]
        return Head(linear.kernel, linear.bias, names)

    def save(
        model_dir: Place,
        directory: Place,
        facts: Mapping[str, Any],
        documents: Mapping[str, str],
    ) -> None:
        save_sequence_classifier(
            model_dir,
            directory,
            module=list(next(iter(found.values())).results["modules"])[-1],
            example_head=head("speaker"),
            frame_head=head("phone"),
            facts=facts,
            documents=documents,
        )

    return save


def _exciting(
    experiment: Experiment, encoder: Any, test_files: Many[str]
) -> exciting.NeuronFigure:
    """What excites neurons most; reads the test split once more."""
    watch = exciting.Watch(exciting.K)
    exciting.watch_all(experiment, encoder, test_files, watch)
    split = experiment.data.test_split
    return exciting.figure(experiment, watch, test_files, split=split)


def _pictures(
    experiment: Experiment, splits: Splits, found: Mapping[str, _Task]
) -> dict[str, bytes]:
    """The first labelled test recording, and what the probe takes it for."""
    if "phone" not in found:
        return {}
    task = found["phone"]
    first = task.rows.recordings[0]
    shown = task.rows.recordings == first
    one = next(itertools.islice(splits.test(), int(first), None))
    strips = [Strip("spoken", one.labels.tolist())]
    if shown.sum() == len(one.labels):  # else some were left out
        heard = task.predicted[shown].tolist()
        strips.append(Strip("told", heard, truth=one.labels.tolist()))
    picture = sequence_picture(
        experiment,
        one.samples,
        strips=strips,
        names=task.results["class_names"],
    )
    return {"recording": picture}
