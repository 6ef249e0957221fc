"""The job `neighbors`: what is nearest to an item, as a list and as a page."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gim_tf.data import embeddings
from gim_tf.data.embeddings import Facts
from gim_tf.data.items import Item, open_items
from gim_tf.data.shards import disk_errors
from gim_tf.errors import DataError
from gim_tf.export.embedder import KINDS, Embedder
from gim_tf.inspection.neighbor_page import NeighborPage, render_neighbors
from gim_tf.inspection.neighbors import Nearest, Neighbor, find_row, nearest
from gim_tf.inspection.thumbnails import thumbnail
from gim_tf.jobs.bulk_embedding import model_fingerprint


class Neighbors(NamedTuple):
    """What was found.

    Attributes:
      query: what was looked for.
      module: whose representations were compared.
      result: of the search.
      class_names: one name a class, in label order; none if unknown.
    """

    query: Neighbor
    module: str
    result: Nearest
    class_names: tuple[str, ...]


class _Query(NamedTuple):
    shown: Neighbor
    vector: np.ndarray
    encoded: bytes | None  # None: the source has it


def neighbors(
    directory: str | Path,
    query: str,
    *,
    module: str | None = None,
    k: int = 12,
    model_dir: str | Path | None = None,
    source: str | Path | None = None,
    page: str | Path | None = None,
) -> Neighbors:
    """Finds the nearest by cosine; writes a page of them if one is asked for.

    Args:
      directory: embeddings, as `gim embed` writes them to .parquet.
      query: an id among them, or a file, which is embedded.
      module: such as "module_3"; None: the last one.
      k: how many are wanted; the query itself is none of them.
      model_dir: embeds a file; None: the export that made the embeddings.
      source: where the folder or records lie now; None: where they lay. Of
        files: the folder that their relative paths are below.
      page: HTML file to be written; None: none.

    Raises:
      DataError: no embeddings, no such id, file or module.
      ExportError: the query is a file, and the export is missing.
    """
    facts = embeddings.read_facts(directory)
    known = embeddings.module_names(embeddings.shard_files(directory)[0])
    module = known[-1] if module is None else module
    asked = _by_id(directory, query, module) or _by_file(
        facts, query, module, model_dir or facts.model
    )
    result = nearest(
        embeddings.read_rows(directory, [module]),
        module,
        asked.vector,
        k=k,
        without=asked.shown.id if asked.encoded is None else None,
    )
    if page is not None:
        _write_page(Path(page), asked, result, facts, module, source)
    return Neighbors(asked.shown, module, result, facts.class_names)


def resolve(
    facts: Facts, ids: Iterable[str], source: str | Path | None = None
) -> dict[str, Item]:
    """The items of ids, as far as the source still has them.

    Args:
      facts: of the embeddings.
      ids: of the items.
      source: see `neighbors`.
    """
    is_folder = not facts.root
    place: str | Path | tuple[str, ...] = facts.source
    if is_folder:
        place = facts.source[0] if source is None else source
        if not Path(place).is_dir():
            return {}
    items = open_items(
        place,
        suffixes=KINDS[facts.takes].suffixes,
        split=facts.split,
        root=facts.root if source is None else source,
    )
    return items.find(ids)


def _by_id(directory: str | Path, query: str, module: str) -> _Query | None:
    row = find_row(embeddings.read_rows(directory, [module]), query)
    if row is None:
        return None
    shown = Neighbor(row.ids[0], row.splits[0], row.labels[0], 1.0)
    return _Query(shown, row.features[module][0], None)


def _by_file(
    facts: Facts, query: str, module: str, model_dir: str | Path
) -> _Query:
    path = Path(query)
    if not path.is_file():
        raise DataError(
            f"{query!r} is neither an id of these embeddings nor a file. Ids "
            "are those of the records, or paths as they were embedded."
        )
    if model_fingerprint(model_dir) != facts.model_fingerprint:
        raise DataError(
            f"{model_dir} is not the model that made these embeddings, which "
            f"lay in {facts.model}: its features cannot be compared. Embed "
            "again, or give that model by --model."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    found = Embedder(model_dir)([(query, content)])
    for bad in found.rejected:
        raise DataError(f"{query} cannot be decoded: {bad.reason}.")
    shown = Neighbor(path.name, None, -1, 1.0)
    return _Query(shown, found.features[module][0], content)


def _write_page(
    page: Path,
    asked: _Query,
    result: Nearest,
    facts: Facts,
    module: str,
    source: str | Path | None,
) -> None:
    shown = [one.id for one in (asked.shown, *result.found)]
    items = resolve(facts, shown, source)
    encoded = {one: items[one].encoded for one in shown if one in items}
    if asked.encoded is not None:
        encoded[asked.shown.id] = asked.encoded
    text = render_neighbors(
        NeighborPage(
            query=asked.shown,
            module=module,
            channels=len(asked.vector),
            result=result,
            class_names=facts.class_names,
            thumbnails={one: thumbnail(encoded.get(one)) for one in shown},
        )
    )
    with disk_errors(page):
        page.write_text(text, encoding="utf-8")
