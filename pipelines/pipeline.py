"""The pipeline, as a pure function of its arguments.

    records -> statistics -> validation -> gate -> pretraining -> probes
    -> evaluation -> blessing -> push -> report (-> inference)

Each component gets the part of the experiment that it reads, and no more: a
changed training setting leaves the records cached, a changed blessing
threshold leaves the training cached.
"""

import json
from typing import Any, NamedTuple

import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from tfx import v1 as tfx
from tfx.extensions.google_cloud_ai_platform import (
    constants as vertex_constants,
)
from tfx.extensions.google_cloud_ai_platform.trainer import (
    component as vertex_trainer,
)
from tfx.extensions.google_cloud_ai_platform.trainer import (
    executor as vertex_executor,
)
from tfx.types import BaseChannel, standard_artifacts

from gim_tf import config
from pipelines import evaluator_module, parts, sources
from pipelines.baseline import LatestOtherBlessedStrategy
from pipelines.components import (
    Bless,
    DataGate,
    LinearProbe,
    Push,
    RecordReader,
    Report,
)
from pipelines.ingest import RecordGen
from pipelines.settings import (
    Options,
    Places,
    check_bulk_infer,
    is_path,
    training_run,
)
from pipelines.sources import source_hash
from pipelines.vertex_settings import Vertex

# Where the source names the classes: more than any has.
_MANY_CLASSES = 100_000


class _Data(NamedTuple):
    components: list[Any]
    examples: BaseChannel
    gate: Any


def create_pipeline(
    experiment: config.Experiment,
    places: Places,
    *,
    data_fingerprint: str,
    options: Options | None = None,
    metadata_config: Any = None,
    vertex: Vertex | None = None,
) -> tfx.dsl.Pipeline:
    """Builds the pipeline of one experiment; reads and writes nothing.

    Args:
      experiment: what to run.
      places: where it reads and writes.
      data_fingerprint: of the source's content (`Source.fingerprint`).
      options: how it runs; None for the defaults.
      metadata_config: connection to the metadata store; None where the
        runner has its own (Vertex).
      vertex: the machines there; None: training runs where the pipeline does.

    Raises:
      ConfigError: see `check_bulk_infer`.
    """
    options = options or Options()
    if options.bulk_infer:
        check_bulk_infer(experiment)
    run = training_run(experiment, data_fingerprint)
    logs = places.logs(run)
    data = _data_components(experiment, places, data_fingerprint)
    trainer = _trainer(experiment, places, run, data, options, vertex)
    probe = LinearProbe(
        examples=data.examples,
        model=trainer.outputs["model"],
        experiment=config.to_json(parts.probe_part(experiment)),
        tensorboard_dir=logs,
        sources=source_hash(sources.PROBE_SOURCES),
    )
    evaluation = _evaluation(experiment, data.examples, probe)
    comparable = parts.measured_on(experiment, data_fingerprint)
    resolver, baseline = _baseline(probe.outputs["probed"], comparable, options)
    bless, push = _serving(experiment, places, probe, baseline, comparable)
    for node in evaluation:
        bless.add_upstream_node(node)
    report = Report(
        data=data.gate.outputs["report"],
        model_run=trainer.outputs["model_run"],
        probes=probe.outputs["report"],
        blessing=bless.outputs["blessing"],
        pushed=push.outputs["pushed"],
        experiment=config.to_json(experiment),
        tensorboard_dir=logs,
        sources=source_hash(sources.REPORT_SOURCES),
        **(
            {"evaluation": evaluation[-1].outputs["evaluation"]}
            if evaluation
            else {}
        ),
    )
    learning = [trainer, probe, *evaluation, resolver, bless, push, report]
    if options.bulk_infer:
        learning.append(_inferrer(experiment, data.examples, probe, bless))
    return tfx.dsl.Pipeline(
        pipeline_name=experiment.name.replace("_", "-"),
        pipeline_root=places.pipeline_root,
        components=[*data.components, *learning],
        enable_cache=options.enable_cache,
        metadata_connection_config=metadata_config,
        beam_pipeline_args=list(options.beam_args),
    )


def _data_components(
    experiment: config.Experiment, places: Places, fingerprint: str
) -> _Data:
    records = RecordGen(
        data=json.dumps(parts.data_part(experiment), sort_keys=True),
        fingerprint=fingerprint,
    )
    schema = tfx.components.ImportSchemaGen(schema_file=places.schema_file)
    known = experiment.data.class_names, experiment.data.frame_names
    is_framed = isinstance(experiment.view, config.WindowViewConfig)
    named = known if is_framed else known[:1]
    classes = max(map(len, named)) if all(named) else _MANY_CLASSES
    statistics = tfx.components.StatisticsGen(
        examples=records.outputs["examples"],
        schema=schema.outputs["schema"],
        # One bucket a label, so that the gate can count every class.
        stats_options=tfdv.StatsOptions(num_rank_histogram_buckets=classes + 2),
    )
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
    )
    gate = DataGate(
        examples=records.outputs["examples"],
        statistics=statistics.outputs["statistics"],
        anomalies=validator.outputs["anomalies"],
        data=config.to_json(experiment.data),
        tasks=json.dumps(experiment.probe.tasks),
        fingerprint=fingerprint,
        sources=source_hash(sources.GATE_SOURCES),
    )
    components = [records, schema, statistics, validator, gate]
    return _Data(components, records.outputs["examples"], gate)


def _trainer(
    experiment: config.Experiment,
    places: Places,
    run: str,
    data: _Data,
    options: Options,
    vertex: Vertex | None,
) -> Any:
    splits = experiment.data
    trainer = (vertex_trainer.Trainer if vertex else tfx.components.Trainer)(
        run_fn="pipelines.trainer_module.run_fn",
        examples=data.examples,
        train_args=tfx.proto.TrainArgs(splits=[splits.pretrain_split]),
        eval_args=tfx.proto.EvalArgs(splits=[splits.test_split]),
        custom_config={
            "experiment": config.to_dict(parts.exported_part(experiment)),
            "run_dir": places.checkpoints(run),
            "tensorboard_dir": places.logs(run),
            "resume": options.resume if is_path(options.resume) else "auto",
            "sources": source_hash(sources.TRAINING_SOURCES),
            **(_custom_job(experiment, places, run, vertex) if vertex else {}),
        },
    )
    trainer.add_upstream_node(data.gate)
    return trainer


def _custom_job(
    experiment: config.Experiment, places: Places, run: str, vertex: Vertex
) -> dict[str, Any]:
    """What TFX's Trainer for Vertex AI reads of `custom_config`."""
    job = vertex.training_job(
        experiment.name.replace("_", "-"), f"{places.jobs_dir}/{run}"
    )
    return {
        vertex_constants.ENABLE_VERTEX_KEY: True,
        vertex_constants.VERTEX_REGION_KEY: vertex.region,
        vertex_executor.TRAINING_ARGS_KEY: job,
    }


def _evaluation(
    experiment: config.Experiment, examples: BaseChannel, probe: Any
) -> list[Any]:
    """Nodes that evaluate the classifier; none if it names no class.

    Recordings may be stored in a format that only a variant of the model
    decodes.
    """
    if not {"class", "speaker"} & set(experiment.probe.tasks):
        return []
    if not isinstance(experiment.view, config.WindowViewConfig):
        return [_evaluator(experiment, examples, probe.outputs["probed"])]
    reader = RecordReader(
        model=probe.outputs["probed"],
        probes=probe.outputs["report"],
        sources=source_hash(sources.READER_SOURCES),
    )
    model = reader.outputs["reader"]
    evaluator = _evaluator(
        experiment, examples, model, module_path=evaluator_module.PATH
    )
    return [reader, evaluator]


def _evaluator(
    experiment: config.Experiment,
    examples: BaseChannel,
    model: BaseChannel,
    **options: Any,
) -> Any:
    metrics = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]
    return tfx.components.Evaluator(
        examples=examples,
        model=model,
        **options,
        example_splits=[experiment.data.test_split],
        eval_config=tfma.EvalConfig(
            model_specs=[
                tfma.ModelSpec(
                    signature_name="classify_examples",
                    prediction_key="scores",
                    label_key="label",
                )
            ],
            slicing_specs=[
                tfma.SlicingSpec(),
                tfma.SlicingSpec(feature_keys=["label"]),
            ],
            metrics_specs=[
                tfma.MetricsSpec(
                    metrics=[
                        tfma.MetricConfig(class_name=name)
                        for name in ("ExampleCount", *metrics)
                    ]
                )
            ],
        ),
    )


def _serving(
    experiment: config.Experiment,
    places: Places,
    probe: Any,
    baseline: BaseChannel,
    measured_on: str,
) -> tuple[Any, Any]:
    bless = Bless(
        report=probe.outputs["report"],
        model=probe.outputs["probed"],
        baseline=baseline,
        margin=experiment.blessing.margin,
        tolerance=experiment.blessing.tolerance,
        measured_on=measured_on,
        sources=source_hash(sources.BLESS_SOURCES),
    )
    push = Push(
        model=probe.outputs["probed"],
        blessing=bless.outputs["blessing"],
        serving_dir=places.serving_dir,
        sources=source_hash(sources.PUSH_SOURCES),
    )
    return bless, push


def _inferrer(
    experiment: config.Experiment,
    examples: BaseChannel,
    probe: Any,
    bless: Any,
) -> Any:
    """Adds the representations to all records; nothing if not blessed."""
    spec = tfx.proto.PredictOutput()
    for depth in range(1, len(experiment.probed_sizes) + 1):
        name = f"module_{depth}"
        spec.output_columns.add(output_key=name, output_column=name)
    return tfx.components.BulkInferrer(
        examples=examples,
        model=probe.outputs["probed"],
        model_blessing=bless.outputs["blessing"],
        # The other signatures that it can call take files, not records.
        model_spec=tfx.proto.ModelSpec(model_signature_name=["examples"]),
        output_example_spec=tfx.proto.OutputExampleSpec(
            output_columns_spec=[
                tfx.proto.OutputColumnsSpec(predict_output=spec)
            ]
        ),
    )


def _baseline(
    model: BaseChannel, measured_on: str, options: Options
) -> tuple[Any, BaseChannel]:
    blessing = tfx.dsl.Channel(type=standard_artifacts.ModelBlessing)
    if options.baseline == "latest":
        resolver = tfx.dsl.Resolver(
            strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
            model=tfx.dsl.Channel(type=standard_artifacts.Model),
            model_blessing=blessing,
        )
    else:
        resolver = tfx.dsl.Resolver(
            strategy_class=LatestOtherBlessedStrategy,
            config={"measured_on": measured_on},
            candidate=model,
            model_blessing=blessing,
        )
    resolver = resolver.with_id("Baseline")
    return resolver, resolver.outputs["model_blessing"]
