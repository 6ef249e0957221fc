"""The page of `gim neighbors`: a query and what is nearest to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gim_tf.inspection import pages
from gim_tf.inspection.curves import module_title
from gim_tf.inspection.neighbors import Nearest, Neighbor
from gim_tf.inspection.thumbnails import Thumbnail


@dataclass(frozen=True, kw_only=True)
class NeighborPage:
    """All that the page shows.

    Attributes:
      query: what was looked for; its similarity says nothing.
      module: whose representations were compared.
      channels: their number, d.
      result: of the search.
      class_names: one name a class, in label order; none if unknown.
      thumbnails: by id, of the query too.
    """

    query: Neighbor
    module: str
    channels: int
    result: Nearest
    class_names: Sequence[str]
    thumbnails: Mapping[str, Thumbnail]


def render_neighbors(page: NeighborPage) -> str:
    """The page as HTML text, to be saved as UTF-8."""
    digits = decimals(page.result)
    cards = [
        {
            **_card(neighbor, page),
            "rank": rank,
            "similarity": f"{neighbor.similarity:.{digits}f}",
            "width": _width(neighbor.similarity, page.result.mean),
            "same": 0 <= neighbor.label == page.query.label,
        }
        for rank, neighbor in enumerate(page.result.found, start=1)
    ]
    return pages.render(
        "neighbors.html",
        query=_card(page.query, page),
        module=page.module,
        module_title=module_title(page.module),
        channels=page.channels,
        count=page.result.size,
        cards=cards,
        mean=f"{page.result.mean:.{digits}f}",
        agreement=_agreement(page),
        sounds=any(one.sound for one in page.thumbnails.values()),
    )


def label_name(label: int, class_names: Sequence[str]) -> str:
    """A label for people; nothing where it is not known."""
    if label < 0:
        return ""
    return class_names[label] if label < len(class_names) else f"{label}"


def decimals(result: Nearest) -> int:
    """Of cosines: two lie between the mean of all and 1, and three at least."""
    gap = min(max(1.0 - result.mean, 1e-5), 1.0)
    return max(3, 2 + math.ceil(-math.log10(gap)))


def agreement(query: Neighbor, result: Nearest) -> tuple[int, float] | None:
    """How many neighbours share the query's label, and what share of all does.

    Returns:
      (neighbours, share of all that were compared); None without labels.
    """
    if query.label < 0 or not result.size:
        return None
    same = sum(one.label == query.label for one in result.found)
    return same, result.labels[query.label] / result.size


def _agreement(page: NeighborPage) -> dict[str, Any] | None:
    found = agreement(page.query, page.result)
    if found is None:
        return None
    return {
        "same": found[0],
        "of": len(page.result.found),
        "share": found[1],
    }


def _width(similarity: float, mean: float) -> str:
    """Of a bar, in percent: nothing for the mean of all, all for 1."""
    # Features have much in common: all cosines may be above 0.9.
    share = (similarity - mean) / max(1.0 - mean, 1e-12)
    return f"{100 * min(max(share, 0.0), 1.0):.1f}"


def _card(neighbor: Neighbor, page: NeighborPage) -> dict[str, Any]:
    rows = (page.query, *page.result.found)
    differ = len({row.split for row in rows}) > 1
    return {
        "id": neighbor.id,
        "split": (neighbor.split or "") if differ else "",
        "label": label_name(neighbor.label, page.class_names),
        "thumbnail": page.thumbnails.get(neighbor.id, Thumbnail(None)),
    }
