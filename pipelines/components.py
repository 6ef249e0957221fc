"""Function components: data gate, probe, blessing, push, report.

Each translates artifacts to paths and calls the library. TFX reads their
annotations, so this file cannot postpone them.
"""

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tfx.components.evaluator.constants import (
    ARTIFACT_PROPERTY_BLESSED_KEY,
    ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
    ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY,
)
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
)
from tfx.utils import path_utils

from gim_tf import config, jobs
from gim_tf.data.corpus import read_corpus
from gim_tf.data.records import record_files
from pipelines import blessing as blessings
from pipelines import evaluation as evaluations
from pipelines import gate, pusher, staging
from pipelines.artifacts import DataReport, ProbeReport, RunReport
from pipelines.blessing import MEASURED_ON
from pipelines.parts import data_config

_LOG = logging.getLogger(__name__)

SCORE = "linear_top1"
REASONS = "reasons"
PUSHED_TO = "pushed_to"


@component
def DataGate(  # noqa: N802 (a component is a class to its users)
    examples: InputArtifact[Examples],
    statistics: InputArtifact[ExampleStatistics],
    anomalies: InputArtifact[ExampleAnomalies],
    report: OutputArtifact[DataReport],
    data: Parameter[str],
    tasks: Parameter[str],
    fingerprint: Parameter[str],
    sources: Parameter[str],
) -> None:
    """Stops the pipeline if the records may not be trained on, or probed."""
    limits = data_config(json.loads(data))
    findings = gate.collect(
        limits,
        examples=examples.uri,
        statistics=statistics.uri,
        anomalies=anomalies.uri,
    )
    gate.check(limits, findings, tasks=json.loads(tasks))
    text = gate.report(limits, findings, fingerprint)
    _write(report.uri, "data.json", text)


@component
def LinearProbe(  # noqa: N802
    examples: InputArtifact[Examples],
    model: InputArtifact[Model],
    probed: OutputArtifact[Model],
    report: OutputArtifact[ProbeReport],
    experiment: Parameter[str],
    tensorboard_dir: Parameter[str],
    sources: Parameter[str],
) -> None:
    """Probes the exported encoder and adds the classifier to it."""
    settings = _completed(experiment, read_corpus(examples.uri))
    with (
        staging.read(path_utils.serving_model_path(model.uri)) as model_dir,
        staging.written(report.uri) as output,
        # The layout in which Evaluator and Pusher look for a model.
        staging.written(path_utils.serving_model_dir(probed.uri)) as serving,
    ):
        jobs.probe(
            settings,
            model_dir,
            record_files(examples.uri, settings.data.train_split),
            record_files(examples.uri, settings.data.test_split),
            output,
            tensorboard_dir=tensorboard_dir,
        )
        os.makedirs(os.path.dirname(serving), exist_ok=True)
        os.rename(os.path.join(output, "model"), serving)


@component
def RecordReader(  # noqa: N802
    model: InputArtifact[Model],
    probes: InputArtifact[ProbeReport],
    reader: OutputArtifact[Model],
    sources: Parameter[str],
) -> None:
    """The same model, for those who decode records as they were ingested.

    Needs more operations than a plain TF Serving has; it is not pushed.
    """
    with (
        staging.read(path_utils.serving_model_path(model.uri)) as model_dir,
        staging.written(path_utils.serving_model_dir(reader.uri)) as serving,
    ):
        os.makedirs(os.path.dirname(serving), exist_ok=True)
        jobs.export_flac(
            model_dir,
            serving,
            probes=json.loads(_read(probes.uri, "probes.json")),
        )


@component
def Bless(  # noqa: N802
    report: InputArtifact[ProbeReport],
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    margin: Parameter[float],
    tolerance: Parameter[float],
    measured_on: Parameter[str],
    sources: Parameter[str],
    baseline: InputArtifact[ModelBlessing] = None,
) -> None:
    """Decides whether the model may be pushed; never fails.

    A baseline that was measured on other data, or by another probe, says
    nothing about this model and is passed over.
    """
    if baseline and (
        baseline.get_string_custom_property(MEASURED_ON) != measured_on
    ):
        _LOG.info("No baseline: the last one was measured on other data.")
        baseline = None
    verdict = blessings.judge(
        json.loads(_read(report.uri, "probes.json")),
        margin=margin,
        tolerance=tolerance,
        baseline=(
            baseline.get_float_custom_property(SCORE) if baseline else None
        ),
    )
    for reason in verdict.reasons:
        _LOG.info("%s", reason)
    set_int = blessing.set_int_custom_property
    set_int(ARTIFACT_PROPERTY_BLESSED_KEY, int(verdict.blessed))
    set_int(ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model.id)
    blessing.set_string_custom_property(
        ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, model.uri
    )
    blessing.set_string_custom_property(MEASURED_ON, measured_on)
    blessing.set_float_custom_property(SCORE, verdict.score)
    blessing.set_string_custom_property(REASONS, " ".join(verdict.reasons))
    _write(blessing.uri, "BLESSED" if verdict.blessed else "NOT_BLESSED", "")
    _write(blessing.uri, "verdict.json", json.dumps(verdict._asdict()))


@component
def Push(  # noqa: N802
    model: InputArtifact[Model],
    blessing: InputArtifact[ModelBlessing],
    pushed: OutputArtifact[PushedModel],
    serving_dir: Parameter[str],
    sources: Parameter[str],
) -> None:
    """Pushes the model if it was blessed; says what it did."""
    path = ""
    if blessing.get_int_custom_property(ARTIFACT_PROPERTY_BLESSED_KEY):
        source = path_utils.serving_model_path(model.uri)
        with staging.read(source) as model_dir:
            path = pusher.push(model_dir, serving_dir)
    said = f"Pushed to {path}." if path else "Not blessed: nothing is pushed."
    _LOG.info("%s", said)
    pushed.set_int_custom_property("pushed", int(bool(path)))
    pushed.set_string_custom_property(PUSHED_TO, path)
    _write(pushed.uri, "pushed.json", json.dumps({PUSHED_TO: path or None}))


@component
def Report(  # noqa: N802
    data: InputArtifact[DataReport],
    model_run: InputArtifact[ModelRun],
    probes: InputArtifact[ProbeReport],
    blessing: InputArtifact[ModelBlessing],
    pushed: InputArtifact[PushedModel],
    report: OutputArtifact[RunReport],
    experiment: Parameter[str],
    tensorboard_dir: Parameter[str],
    sources: Parameter[str],
    evaluation: InputArtifact[ModelEvaluation] = None,
) -> None:
    """Collects all results in one summary and one page."""
    settings = _completed(
        experiment, json.loads(_read(data.uri, "data.json"))["corpus"]
    )
    with contextlib.ExitStack() as stack:

        def local(artifact: Any) -> str:
            return stack.enter_context(staging.read(artifact.uri))

        output = stack.enter_context(staging.written(report.uri))
        by_class = None
        if evaluation:
            by_class = os.path.join(output, evaluations.NAME)
            names = settings.data.class_names
            evaluations.write_evaluation(evaluation.uri, names, by_class)
        jobs.write_report(
            settings,
            jobs.Sources(
                data=os.path.join(local(data), "data.json"),
                training=local(model_run),
                probes=local(probes),
                tensorboard=tensorboard_dir,
                blessing=local(blessing),
                pushed=local(pushed),
                evaluation=by_class,
            ),
            output,
        )


def _completed(experiment: str, corpus: Mapping[str, Any]) -> config.Experiment:
    return config.completed(config.from_dict(json.loads(experiment)), corpus)


def _read(directory: str, name: str) -> str:
    with tf.io.gfile.GFile(os.path.join(directory, name)) as file:
        return file.read()


def _write(directory: str, name: str, text: str) -> None:
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        file.write(text)
