"""Phones by the way they are made, so that charts put like beside like."""

from collections.abc import Sequence
from typing import NamedTuple

# ARPAbet as the English voices of Festival and flite use it; within a group
# neighbours differ in place or voice alone, as far as one line can have it.
_GROUPS = {
    "pause": "pau sil sp spn",
    "vowels": "iy ih ey eh ae ay aa aw ao oy ow uh uw ah ax er",
    "approximants": "r l w y",
    "nasals": "m n ng",
    "plosives": "b p d t g k",
    "affricates, fricatives": "jh ch zh sh z s dh th v f hh",
}
_PLACES = {
    phone: (position, group)
    for position, (phone, group) in enumerate(
        (phone, group)
        for group, members in _GROUPS.items()
        for phone in members.split()
    )
}

GROUPS = tuple(_GROUPS)


class Arrangement(NamedTuple):
    """An order of labels in groups.

    Attributes:
      order: every label once.
      groups: (name, how many labels of the order are in it), in order.
    """

    order: list[int]
    groups: list[tuple[str, int]]


def arrange(names: Sequence[str]) -> Arrangement:
    """Like phones side by side; the labels' own order if not all are phones.

    Args:
      names: one a label, ARPAbet in any case, with or without stress marks.
    """
    kinds = [group(name) for name in names]
    if not all(kinds):
        return Arrangement(list(range(len(names))), [])
    order = sorted(
        range(len(names)), key=lambda label: _PLACES[_plain(names[label])][0]
    )
    counts = [(kind, kinds.count(kind)) for kind in GROUPS]
    return Arrangement(order, [(kind, n) for kind, n in counts if n])


def group(name: str) -> str:
    """The group of a phone, such as "vowels"; "" if it is none."""
    return _PLACES.get(_plain(name), (0, ""))[1]


def _plain(name: str) -> str:
    return name.lower().rstrip("012")
