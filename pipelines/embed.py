"""Embeddings of any number of files, in Beam.

Each shard is computed and written by one worker, so memory stays flat and the
files are the same whatever the runner and its number of workers. All workers
must see the source, the model and the output under the same paths.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from gim_tf.data.embeddings import Facts
from gim_tf.export.embedder import Embedder
from gim_tf.jobs import bulk_embedding
from gim_tf.jobs.bulk_embedding import BulkJob, Task
from pipelines.plain_errors import plain_errors

Progress = Callable[[int, int], None]
"""(items done, items in all), called again and again from a thread."""

_EVERY = 0.5  # seconds between two looks at what is done


class EmbedPieces(beam.DoFn):
    """Computes and writes shards; yields the number of items of each.

    Args:
      model_dir: the export, loaded once a process.
    """

    def __init__(self, model_dir: str) -> None:
        self._model_dir = model_dir
        self._shared = Shared()

    def setup(self) -> None:
        """Loads the model, unless this process has it."""
        self._embedder = self._shared.acquire(lambda: Embedder(self._model_dir))

    def process(self, task: Task) -> Iterator[int]:
        """Writes one shard; a repeated attempt replaces the whole file."""
        bulk_embedding.embed_piece(self._embedder, task)
        yield task.piece.size


def embed(
    source: Sequence[str | Path],
    model_dir: str | Path,
    output: str | Path,
    *,
    split: str | None = None,
    max_bad: int = 0,
    shard_size: int | None = None,
    beam_args: Sequence[str] = (),
    progress: Progress = lambda done, total: None,
) -> Facts:
    """Writes the directory `output`, or goes on where a run was killed.

    Args:
      source: see `bulk_embedding.plan`.
      model_dir: likewise.
      output: likewise.
      split: likewise.
      max_bad: number of items that may be impossible to embed; they are
        listed in `<output>.rejected.jsonl` in any case.
      shard_size: see `bulk_embedding.plan`.
      beam_args: flags of Beam's runner; none: in memory, in this process.
      progress: see there.

    Raises:
      DataError: nothing to embed, too many bad items, a full disk, another
        process that writes the same output.
      ExportError: the export is missing or altered.
    """
    with plain_errors(Path(output)), bulk_embedding.only_writer(output):
        job = bulk_embedding.plan(
            source,
            Path(model_dir).absolute(),
            output,
            split=split,
            shard_size=shard_size,
        )
        if tasks := job.begin():
            with _watched(job, progress):
                _run(job, tasks, beam_args)
        return job.finish(max_bad)


def _run(job: BulkJob, tasks: Sequence[Task], beam_args: Sequence[str]) -> None:
    options = PipelineOptions(list(beam_args))
    with beam.Pipeline(options=options) as pipeline:
        _ = (
            pipeline
            | "Shards" >> beam.Create(tasks)
            | "Spread" >> beam.Reshuffle()
            | "Embed" >> beam.ParDo(EmbedPieces(job.model_dir))
        )


@contextlib.contextmanager
def _watched(job: BulkJob, progress: Progress) -> Iterator[None]:
    """Reports progress by the shards that appear, whoever writes them."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_EVERY):
            progress(job.done(), job.size)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        progress(job.done(), job.size)
