"""What TFX's BulkInferrer wrote, as a table of embeddings; imports no TFX.

    Split-test/examples-00000-of-00001.gz    Split-train/...

Each example in there is a record as it was ingested, with the representation
of every module beside its other features: `module_1` [d_1] float, ...
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from gim_tf.data import embeddings
from gim_tf.data.corpus import read_corpus
from gim_tf.data.embeddings import Facts, Rows
from gim_tf.data.records import FEATURES
from gim_tf.data.shards import disk_errors, replaced_directory
from gim_tf.data.sources.files import fingerprint_files
from gim_tf.errors import DataError
from gim_tf.export.embedder import takes
from gim_tf.export.manifest import read_manifest
from gim_tf.jobs.bulk_embedding import model_fingerprint, only_writer

_BATCH = 512  # rows a shard, as `gim embed` has them of pictures
_MODULE = re.compile(r"module_(\d+)")


def write_embeddings(
    predictions: str | Path,
    output: str | Path,
    *,
    records: str | Path,
    model_dir: str | Path,
) -> Facts:
    """Writes them as `gim embed` writes its own to .parquet.

    So pandas, pyarrow, DuckDB and `gim neighbors` read them. Nothing is done
    where the output is of these predictions already.

    Args:
      predictions: folder of the BulkInferrer's output examples.
      output: directory, by convention `NAME.parquet`; replaced.
      records: folder of the examples that it read.
      model_dir: the export that it ran.

    Raises:
      DataError: there are no predictions, or some are missing or damaged, or
        a full disk, or another process writes the same output.
      ExportError: the export is missing or altered.
    """
    files = _files(Path(predictions))
    model = model_fingerprint(model_dir)
    found = f"{model} {fingerprint_files(Path(predictions), files)}"
    facts = Facts(
        fingerprint=hashlib.sha256(found.encode()).hexdigest(),
        model=str(Path(model_dir).absolute()),
        model_fingerprint=model,
        takes=takes(read_manifest(model_dir)),
        source=(str(Path(records).absolute()),),
        root="",
        class_names=tuple(read_corpus(records).get("class_names", ())),
    )
    output = Path(output)
    with only_writer(output):
        return _known(output, facts) or _write(files, output, facts)


def read_predictions(file: str | Path) -> Iterator[Rows]:
    """Yields the rows of one file, some hundred at a time.

    Raises:
      DataError: it is damaged, or holds no predictions.
    """
    batches = tf.data.TFRecordDataset(str(file), "GZIP").batch(_BATCH)
    try:
        for batch in batches:
            yield _rows(batch)
    except tf.errors.OpError as error:
        raise DataError(
            f"{file} is damaged, or holds no predictions; run again with "
            "--no-cache."
        ) from error


def _files(predictions: Path) -> list[Path]:
    found = sorted(predictions.glob("Split-*/examples-*-of-*.gz"))
    for folder in {file.parent for file in found}:
        there = [file for file in found if file.parent == folder]
        total = int(there[-1].stem.rpartition("-")[2])
        if len(there) != total:
            raise DataError(f"{folder} has {len(there)} of {total} files.")
    if not found:
        raise DataError(
            f"{predictions} holds no predictions (Split-*/examples-*.gz); "
            "nothing is inferred by a model that was not blessed."
        )
    return found


def _known(output: Path, facts: Facts) -> Facts | None:
    try:
        found = embeddings.read_facts(output)
        embeddings.shard_files(output)
    except DataError:
        return None
    return found if found.fingerprint == facts.fingerprint else None


def _write(files: list[Path], output: Path, facts: Facts) -> Facts:
    parts: list[Path] = []
    count = 0
    with replaced_directory(output) as partial, disk_errors(output):
        for file in files:
            for rows in read_predictions(file):
                parts.append(partial / f"{len(parts)}")
                embeddings.write_shard(parts[-1], rows, [], facts.fingerprint)
                count += len(rows.ids)
        for index, part in enumerate(parts):
            part.rename(partial / embeddings.shard_name(index, len(parts)))
        facts = Facts(**{**vars(facts), "count": count})
        embeddings.write_facts(partial, facts)
    return facts


def _rows(batch: tf.Tensor) -> Rows:
    """Of serialized examples, [b] string."""
    first = tf.train.Example.FromString(batch[0].numpy()).features.feature
    depths = sorted(
        int(match[1]) for match in map(_MODULE.fullmatch, first) if match
    )
    widths = {
        f"module_{depth}": len(first[f"module_{depth}"].float_list.value)
        for depth in depths
    }
    wanted = {name: FEATURES[name] for name in ("id", "split", "label")}
    for name, width in widths.items():
        wanted[name] = tf.io.FixedLenFeature([width], tf.float32)
    found = tf.io.parse_example(batch, wanted)
    return Rows(
        [one.decode() for one in found["id"].numpy()],
        [one.decode() for one in found["split"].numpy()],
        found["label"].numpy().tolist(),
        {name: found[name].numpy() for name in widths},
    )
