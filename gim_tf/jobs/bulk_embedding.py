"""The job `embed` for many files: what there is to do, and to be done still.

Shards are computed in any order, by any number of processes, into a hidden
folder beside the output, which becomes the output when all are whole. A job
that was killed goes on with the shards that it lacks, if it is the same job:
model, source and cut are in its fingerprint, which every shard has.
"""

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gim_tf.data.embeddings import (
    Facts,
    Rows,
    Shard,
    read_facts,
    read_shard,
    shard_name,
    write_facts,
    write_shard,
)
from gim_tf.data.items import Piece, open_items, read_piece
from gim_tf.data.records import Rejected
from gim_tf.data.shards import disk_errors
from gim_tf.errors import DataError
from gim_tf.export.embedder import KINDS, Embedder, takes
from gim_tf.export.manifest import verify_manifest, versions
from gim_tf.paths import local_path
from gim_tf.training.run_directory import held

_PACKAGES = ("gim_tf", "tensorflow", "numpy")  # decide bits of the features


class Task(NamedTuple):
    """One shard to be computed; small and picklable."""

    path: str
    piece: Piece
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class BulkJob:
    """All that is to be done; see `plan`.

    Attributes:
      model_dir: the export.
      output: the directory `FILE.parquet`.
      tasks: one a shard, in order.
      facts: without what is known in the end.
    """

    model_dir: str
    output: Path
    tasks: Sequence[Task]
    facts: Facts

    @property
    def partial(self) -> Path:
        """Where shards lie until all are whole."""
        return self.output.with_name(f".{self.output.name}.partial")

    @property
    def listing(self) -> Path:
        """Where what could not be embedded is listed."""
        return self.output.with_name(f"{self.output.name}.rejected.jsonl")

    @property
    def size(self) -> int:
        """Items in all."""
        return sum(task.piece.size for task in self.tasks)

    def begin(self) -> list[Task]:
        """Makes the hidden folder, and returns the tasks that are left.

        None are left where the output already is what this job would write.
        """
        if self._is_done():
            return []
        with disk_errors(self.partial):
            self.partial.mkdir(parents=True, exist_ok=True)
            left = [task for task in self.tasks if not _is_whole(task)]
            whole = {task.path for task in {*self.tasks} - {*left}}
            for path in self.partial.iterdir():
                if str(path) not in whole:
                    path.unlink()
        return left

    def done(self) -> int:
        """Items whose shard has been written, to show progress."""
        there = {path.name for path in self.partial.glob("part-*")}
        return sum(
            task.piece.size
            for task in self.tasks
            if Path(task.path).name in there
        )

    def finish(self, max_bad: int = 0) -> Facts:
        """Lists what was rejected, and puts the output in its place.

        Args:
          max_bad: number of rejected items that are tolerated.

        Raises:
          DataError: a shard is missing, or too many items are bad: then the
            output is as it was, and the shards are kept for a next run.
        """
        was_done = self._is_done()
        folder = self.output if was_done else self.partial
        shards = [
            _shard(folder / Path(task.path).name, task) for task in self.tasks
        ]
        rejected = [bad for shard in shards for bad in shard.rejected]
        with disk_errors(self.listing):
            _list(rejected, self.listing)
        _check_rejected(rejected, max_bad, self.listing)
        facts = dataclasses.replace(
            self.facts,
            count=sum(shard.num_rows for shard in shards),
            num_rejected=len(rejected),
        )
        if not was_done:
            with disk_errors(self.output):
                write_facts(self.partial, facts)
                _replace(self.output, self.partial)
        return facts

    def _is_done(self) -> bool:
        try:
            found = read_facts(self.output)
        except DataError:
            return False
        if found.fingerprint != self.facts.fingerprint:
            return False
        paths = (self.output / Path(task.path).name for task in self.tasks)
        return all(read_shard(path) is not None for path in paths)


@contextlib.contextmanager
def only_writer(output: str | Path) -> Iterator[None]:
    """Keeps other processes from writing an output; makes its folder.

    Raises:
      DataError: another process writes it, or the folder cannot be written.
    """
    output = local_path(output).absolute()
    with disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    lock = output.with_name(f".{output.name}.lock")
    with held(lock, output, DataError, remove=True):
        yield


def plan(
    source: Sequence[str | Path],
    model_dir: str | Path,
    output: str | Path,
    *,
    split: str | None = None,
    shard_size: int | None = None,
) -> BulkJob:
    """Cuts a source into shards; computes nothing.

    Args:
      source: files, or one folder, or one directory of records.
      model_dir: an exported encoder.
      output: directory of the shards, by convention `NAME.parquet`.
      split: of records, the only one; None: all.
      shard_size: items a shard; None: 512 pictures or 64 recordings.

    Raises:
      DataError: there is nothing to embed.
      ExportError: the export is missing or altered.
    """
    manifest = verify_manifest(model_dir)
    kind = KINDS[takes(manifest)]
    size = kind.shard if shard_size is None else shard_size
    if size < 1:
        raise DataError(f"Expected shards of at least 1 item, received {size}.")
    items = open_items(source, suffixes=kind.suffixes, split=split)
    pieces = items.pieces(size)
    if not pieces:
        raise DataError(f"There is nothing to embed in {source[0]}.")
    model = _hash(manifest["files"])
    own = {k: v for k, v in versions().items() if k in _PACKAGES}
    fingerprint = _hash([model, items.fingerprint(), size, own])
    output = local_path(output).absolute()
    is_folder = local_path(source[0]).is_dir()
    facts = Facts(
        fingerprint=fingerprint,
        model=str(local_path(model_dir).absolute()),
        model_fingerprint=model,
        takes=takes(manifest),
        source=tuple(
            str(local_path(one).absolute() if is_folder else one)
            for one in source
        ),
        root="" if is_folder else str(Path().absolute()),
        split=split,
        class_names=items.class_names,
    )
    job = BulkJob(
        model_dir=str(model_dir), output=output, tasks=(), facts=facts
    )
    names = [shard_name(i, len(pieces)) for i in range(len(pieces))]
    tasks = [
        Task(str(job.partial / name), piece, fingerprint)
        for name, piece in zip(names, pieces, strict=True)
    ]
    return dataclasses.replace(job, tasks=tasks)


def embed_piece(embedder: Embedder, task: Task) -> None:
    """Computes one shard; a repeated attempt replaces the whole file."""
    found = list(read_piece(task.piece))
    items = [one for one in found if not isinstance(one, Rejected)]
    done = embedder([(item.id, item.encoded) for item in items])
    kept = [items[position] for position in done.kept]
    rows = Rows(
        [item.id for item in kept],
        [item.split for item in kept],
        [item.label for item in kept],
        done.features,
    )
    unread = [one for one in found if isinstance(one, Rejected)]
    path = Path(task.path)
    with disk_errors(path):
        write_shard(path, rows, [*unread, *done.rejected], task.fingerprint)


def model_fingerprint(model_dir: str | Path) -> str:
    """Hash of an export's files, as `Facts.model_fingerprint`.

    Raises:
      ExportError: the export is missing or altered.
    """
    return _hash(verify_manifest(model_dir)["files"])


def _is_whole(task: Task) -> bool:
    found = read_shard(Path(task.path))
    return found is not None and found.fingerprint == task.fingerprint


def _shard(path: Path, task: Task) -> Shard:
    found = read_shard(path)
    if found is None or found.fingerprint != task.fingerprint:
        raise DataError(
            f"{path} is missing or damaged; run again, what is whole is kept."
        )
    return found


def _list(rejected: Sequence[Rejected], listing: Path) -> None:
    """Writes one {"id", "reason"} a line; no file where there are none."""
    if not rejected:
        listing.unlink(missing_ok=True)
        return
    lines = (json.dumps(bad._asdict()) + "\n" for bad in rejected)
    listing.write_text("".join(lines))


def _check_rejected(
    rejected: Sequence[Rejected], max_bad: int, listing: Path
) -> None:
    if len(rejected) > max_bad:
        named = "; ".join(f"{bad.id}: {bad.reason}" for bad in rejected[:3])
        more = "; ..." if len(rejected) > 3 else ""
        raise DataError(
            f"{len(rejected)} item(s) cannot be embedded, --max-bad allows "
            f"{max_bad}: {named}{more}. Mend or remove them, or raise "
            f"--max-bad, which computes nothing again; all are listed in "
            f"{listing}."
        )


def _replace(output: Path, partial: Path) -> None:
    old = output.with_name(f".{output.name}.old")
    _remove(old)
    if output.exists():
        output.rename(old)
    partial.rename(output)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _hash(content: object) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
