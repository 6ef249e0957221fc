"""RecordGen: an ExampleGen that reads any source of `gim_tf.data` in Beam.

Each piece of work (`Source.work`) becomes one shard, written by the worker
that reads it: nothing is collected or shuffled, so memory stays flat, and the
files are the same whatever the runner and its number of workers.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

import apache_beam as beam
import tensorflow as tf
from tfx import types
from tfx.components.example_gen import write_split
from tfx.components.util import examples_utils
from tfx.dsl.components.base import (
    base_beam_component,
    base_beam_executor,
    executor_spec,
)
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, component_spec, standard_artifacts

from gim_tf.accelerators import grow_gpu_memory
from gim_tf.data import corpus
from gim_tf.data.records import (
    Record,
    Rejected,
    Source,
    WorkItem,
    to_example,
)
from gim_tf.data.sources import open_source
from pipelines.parts import data_config
from pipelines.sources import INGEST_SOURCES, source_hash

REJECTED_DIR = "rejected"
DUPLICATES_FILE = "duplicates.json"
MOMENTS = "moments"

# Any: as int, Beam would send the sums in 64 bits, and loud corpora have more.
_Written: TypeAlias = str | beam.pvalue.TaggedOutput[Literal["moments"], Any]


class Shard(NamedTuple):
    """One file to be written, and the piece of work that fills it."""

    name: str
    split: str
    item: WorkItem | None


class WriteShards(beam.DoFn):
    """Reads a shard's piece of work, writes its records, yields their ids.

    What cannot be read goes to `rejected/<split>-<shard>.jsonl`. The output
    `MOMENTS` has the shard's part of the corpus' mean and deviation.

    Args:
      source: a reader; pickled and sent to the workers.
      directory: of the Examples artifact.
    """

    def __init__(self, source: Source, directory: str) -> None:
        self._source = source
        self._directory = directory

    def setup(self) -> None:
        """Leaves GPUs to others; pictures are checked by TensorFlow."""
        grow_gpu_memory()

    def process(self, shard: Shard) -> Iterator[_Written]:
        """Writes one shard; a repeated attempt replaces the whole file."""
        folder = os.path.join(self._directory, f"Split-{shard.split}")
        # Beside the split, since every file inside counts as data.
        # Unique, as a runner may give the same shard to two workers.
        partial = os.path.join(
            self._directory, f".{shard.split}-{shard.name}-{uuid.uuid4().hex}"
        )
        try:
            yield from self._write(shard, partial)
            tf.io.gfile.makedirs(folder)
            target = os.path.join(folder, shard.name)
            tf.io.gfile.rename(partial, target, overwrite=True)
        finally:
            if tf.io.gfile.exists(partial):
                tf.io.gfile.remove(partial)

    def _write(self, shard: Shard, path: str) -> Iterator[_Written]:
        rejected: list[Rejected] = []
        heard = corpus.Moments()
        counts = corpus.counts(self._source.data, shard.split)
        options = tf.io.TFRecordOptions(
            compression_type="GZIP", compression_level=1
        )
        with tf.io.TFRecordWriter(path, options) as writer:
            for found in self._read(shard.item):
                if isinstance(found, Record):
                    writer.write(to_example(found))
                    if counts:
                        heard += corpus.moments(found.encoded)
                    yield found.id
                else:
                    rejected.append(found)
        self._write_rejected(shard, rejected)
        yield beam.pvalue.TaggedOutput(MOMENTS, tuple(heard))

    def _read(self, item: WorkItem | None) -> Iterable[Record | Rejected]:
        return self._source.read(item) if item is not None else ()

    def _write_rejected(self, shard: Shard, rejected: list[Rejected]) -> None:
        if not rejected:
            return
        folder = os.path.join(self._directory, REJECTED_DIR)
        tf.io.gfile.makedirs(folder)
        name = f"{shard.split}-{shard.name.removesuffix('.gz')}.jsonl"
        with tf.io.gfile.GFile(os.path.join(folder, name), "w") as file:
            for bad in rejected:
                line = json.dumps(bad._asdict(), ensure_ascii=False)
                file.write(line + "\n")


class RecordGenExecutor(base_beam_executor.BaseBeamExecutor):
    """Runs `WriteShards` over all splits and looks for repeated ids."""

    def Do(  # noqa: N802 (TFX's name)
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the Examples artifact; see `RecordGen` for the parameters."""
        source = open_source(data_config(json.loads(exec_properties["data"])))
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        splits = source.data.splits
        examples.split_names = artifact_utils.encode_split_names(list(splits))
        examples.span = 0
        examples_utils.set_payload_format(
            examples, example_gen_pb2.FORMAT_TF_EXAMPLE
        )
        examples_utils.set_file_format(
            examples,
            write_split.to_file_format_str(
                example_gen_pb2.FORMAT_TFRECORDS_GZIP
            ),
        )
        shards = [s for split in splits for s in _shards(source, split)]
        names = (source.class_names, source.frame_names)
        with self._make_beam_pipeline() as pipeline:
            written = (
                pipeline
                | "Shards" >> beam.Create(shards)
                | "Spread" >> beam.Reshuffle()
                | "Write"
                >> beam.ParDo(WriteShards(source, examples.uri)).with_outputs(
                    MOMENTS, main="ids"
                )
            )
            _ = (
                written.ids
                | "PerId" >> beam.combiners.Count.PerElement()
                | "Repeated" >> beam.Filter(lambda counted: counted[1] > 1)
                | "Ids" >> beam.Keys()
                | "Few" >> beam.combiners.Top.Smallest(10)
                | "List" >> beam.ParDo(_WriteDuplicates(examples.uri))
            )
            _ = (
                written[MOMENTS]
                | "Add" >> beam.CombineGlobally(_added)
                | "Tell" >> beam.ParDo(_WriteCorpus(examples.uri, *names))
            )


class RecordGenSpec(component_spec.ComponentSpec):
    """Parameters and outputs of `RecordGen`."""

    PARAMETERS: ClassVar = {
        "data": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str),
        "sources": component_spec.ExecutionParameter(type=str),
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS: ClassVar = {
        "examples": component_spec.ChannelParameter(
            type=standard_artifacts.Examples
        )
    }


class RecordGen(base_beam_component.BaseBeamComponent):
    """Turns a raw source into tf.Example splits.

    Outputs `examples`: a folder a split, and beside them what was rejected and
    `corpus.json`. The splits are those of the data configuration.

    Args:
      data: JSON of `parts.data_part`.
      fingerprint: of the source's content; changed data run again.
    """

    SPEC_CLASS = RecordGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(RecordGenExecutor)

    def __init__(self, *, data: str, fingerprint: str) -> None:
        spec = RecordGenSpec(
            data=data,
            fingerprint=fingerprint,
            sources=source_hash(INGEST_SOURCES),
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        super().__init__(spec=spec)


class _WriteDuplicates(beam.DoFn):
    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, REJECTED_DIR, DUPLICATES_FILE)

    def process(self, repeated: list[str]) -> None:
        if repeated:
            tf.io.gfile.makedirs(os.path.dirname(self._path))
            with tf.io.gfile.GFile(self._path, "w") as file:
                file.write(json.dumps(repeated, ensure_ascii=False) + "\n")


class _WriteCorpus(beam.DoFn):
    def __init__(
        self,
        directory: str,
        class_names: tuple[str, ...],
        frame_names: tuple[str, ...],
    ) -> None:
        self._names = (class_names, frame_names)
        self._directory = directory

    def process(self, heard: Any) -> None:
        corpus.write_corpus(
            self._directory, *self._names, corpus.Moments(*heard)
        )


def _added(parts: Iterable[Any]) -> Any:
    return tuple(sum((corpus.Moments(*p) for p in parts), corpus.Moments()))


def _shards(source: Source, split: str) -> list[Shard]:
    # Without work there is one empty file, as TFX reads no empty folder.
    items: list[WorkItem | None] = [*source.work(split)] or [None]
    total = len(items)
    return [
        Shard(f"data_tfrecord-{i:05d}-of-{total:05d}.gz", split, item)
        for i, item in enumerate(items)
    ]
