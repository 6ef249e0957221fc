"""Embeddings in Parquet: columns, whole shards, and reading them again.

    FILE.parquet/part-00000-of-00002.parquet   id, split, label, module_1, ...
    FILE.parquet/_embeddings.json              what they are of

pandas, pyarrow, DuckDB and Spark read the directory as one table. A shard says
in its footer which job it is of and what could not be embedded.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

# To import it is to use it: before version 14 pyarrow unpickles what a file
# names as the type of a column, which is code of the file's (CVE-2023-47248).
import pyarrow_hotfix  # noqa: F401
from pyarrow import parquet

from gim_tf.data.records import Rejected
from gim_tf.errors import DataError

FACTS = "_embeddings.json"  # readers of Parquet pass a leading _ over
_KEY = b"gim_tf"
_PARTS = "part-*.parquet"
# RuntimeError: a type of column that pyarrow_hotfix forbids.
_DAMAGED = (OSError, pa.ArrowException, RuntimeError, ValueError)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What embeddings are of.

    Attributes:
      fingerprint: of the model, the source, and how it was cut.
      model: directory of the export, where it lay.
      model_fingerprint: of its files.
      takes: name of the model's input, which says what the items are.
      source: the folder, the directory of records, or the files.
      root: what files with a relative path are below; empty: the source is
        a folder.
      split: of records, the only one; None: all.
      class_names: one name a class, in label order; none if unknown.
      count: embedded items.
      num_rejected: items that could not be embedded.
    """

    fingerprint: str
    model: str
    model_fingerprint: str
    takes: str
    source: tuple[str, ...]
    root: str
    split: str | None = None
    class_names: tuple[str, ...] = ()
    count: int = 0
    num_rejected: int = 0


class Rows(NamedTuple):
    """Some rows of the table.

    Attributes:
      ids: [n].
      splits: [n], None where unknown.
      labels: [n], -1 where unknown.
      features: by module, [n, d] float32.
    """

    ids: Sequence[str]
    splits: Sequence[str | None]
    labels: Sequence[int]
    features: Mapping[str, np.ndarray]


class Shard(NamedTuple):
    """What the footer of a whole shard says."""

    fingerprint: str
    num_rows: int
    rejected: tuple[Rejected, ...]


def shard_name(index: int, total: int) -> str:
    """The file name of a shard."""
    return f"part-{index:05d}-of-{total:05d}.parquet"


def write_shard(
    path: Path, rows: Rows, rejected: Sequence[Rejected], fingerprint: str
) -> None:
    """Writes a shard, whole or not at all; equal rows give equal bytes.

    Args:
      path: replaced if it exists.
      rows: what is embedded; n may be 0.
      rejected: what could not be.
      fingerprint: of the job, see `read_shard`.
    """
    own = {
        "fingerprint": fingerprint,
        "rejected": [list(bad) for bad in rejected],
    }
    table = _table(rows).replace_schema_metadata({_KEY: json.dumps(own)})
    # Unique: a runner may give the same piece to two workers.
    partial = path.with_name(f".{path.name}.{os.getpid()}-{id(rows)}")
    try:
        with partial.open("wb") as file:
            parquet.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_shard(path: Path) -> Shard | None:
    """What a shard says of itself; None if it is not whole, or no shard."""
    try:
        found = parquet.read_metadata(path)
        own = json.loads(found.metadata[_KEY])
        rejected = tuple(Rejected(*bad) for bad in own["rejected"])
        return Shard(own["fingerprint"], found.num_rows, rejected)
    except (*_DAMAGED, KeyError, TypeError):
        return None


def write_facts(directory: Path, facts: Facts) -> None:
    """Writes `_embeddings.json` into the directory."""
    text = json.dumps(asdict(facts), indent=2, sort_keys=True) + "\n"
    (directory / FACTS).write_text(text)


def read_facts(directory: str | Path) -> Facts:
    """What embeddings are of.

    Raises:
      DataError: there are none.
    """
    path = Path(directory) / FACTS
    try:
        found = json.loads(path.read_text())
        lists = {k: tuple(v) for k, v in found.items() if isinstance(v, list)}
        return Facts(**{**found, **lists})
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{directory} holds no embeddings (no readable {FACTS}); write "
            "them with `gim embed SOURCE --model DIR --output FILE.parquet`."
        ) from error


def read_rows(
    directory: str | Path, modules: Sequence[str] | None = None
) -> Iterator[Rows]:
    """Yields the rows, shard by shard.

    Args:
      directory: of the embeddings.
      modules: those to be read; None: all.

    Raises:
      DataError: a shard is missing or damaged, or there is no such module.
    """
    for path in shard_files(directory):
        known = module_names(path)
        wanted = list(known if modules is None else modules)
        if missing := set(wanted) - set(known):
            raise DataError(
                f"{directory} has no {sorted(missing)[0]!r}; it has "
                f"{', '.join(known)}."
            )
        with _damage(path):
            columns = ["id", "split", "label", *wanted]
            rows = _rows(parquet.read_table(path, columns=columns), wanted)
        yield rows


def shard_files(directory: str | Path) -> list[Path]:
    """All shards in order; `DataError` if there are none or gaps."""
    found = sorted(Path(directory).glob(_PARTS))
    total = int(found[-1].stem.rpartition("-")[2]) if found else 0
    if not found or len(found) != total:
        raise DataError(
            f"{directory} has {len(found)} of {total or 'the'} shards "
            f"({_PARTS}); embed again."
        )
    return found


def module_names(path: Path) -> list[str]:
    """The modules of a shard, by depth; `DataError` if it is damaged."""
    with _damage(path):
        names = parquet.read_schema(path).names
    return [name for name in names if name not in ("id", "split", "label")]


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    # The rest is what a table of other columns leads to.
    try:
        yield
    except (*_DAMAGED, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged; remove it and embed again."
        ) from error


def _table(rows: Rows) -> pa.Table:
    labels = [None if label < 0 else label for label in rows.labels]
    columns = {
        "id": pa.array(rows.ids, pa.string()),
        "split": pa.array(rows.splits, pa.string()),
        "label": pa.array(labels, pa.int64()),
    }
    for name, values in rows.features.items():
        flat = pa.array(np.ascontiguousarray(values, np.float32).reshape(-1))
        columns[name] = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    return pa.table(columns)


def _rows(table: pa.Table, modules: Sequence[str]) -> Rows:
    labels = table["label"].to_pylist()
    features = {}
    for name in modules:
        column = table[name].combine_chunks()
        width = table.schema.field(name).type.list_size
        flat = column.flatten().to_numpy(zero_copy_only=False)
        features[name] = flat.reshape(-1, width)
    return Rows(
        table["id"].to_pylist(),
        table["split"].to_pylist(),
        [-1 if label is None else label for label in labels],
        features,
    )
