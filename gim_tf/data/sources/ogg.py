"""Looks for damage in the pages of an Ogg file, which decoders skip silently.

Format: RFC 3533. A page is a header of 27 bytes, a table of segment lengths
and the segments; bytes 22 to 25 are a CRC-32 of the page without them.
"""

import struct

_END_OF_STREAM = 4
_POLYNOMIAL = 0x04C11DB7


def find_damage(encoded: bytes) -> str | None:
    """What is wrong with an Ogg file, in a few words; None if nothing is."""
    start, flags = 0, 0
    while start < len(encoded):
        page = _page(encoded, start)
        if not page.startswith(b"OggS"):
            return "damaged, a page is missing"
        if start + _length(page) > len(encoded):
            return "truncated"
        (checksum,) = struct.unpack_from("<I", page, 22)
        if checksum != _crc(page[:22] + bytes(4) + page[26:]):
            return "damaged, a page has a wrong checksum"
        flags = page[5]
        start += len(page)
    return None if flags & _END_OF_STREAM else "truncated"


def _page(encoded: bytes, start: int) -> bytes:
    head = encoded[start : start + 27 + 255]
    return encoded[start : start + _length(head)]


def _length(page: bytes) -> int:
    """Bytes that a page should have, by as much of its header as is there."""
    if len(page) < 27:
        return 27
    table = page[27 : 27 + page[26]]
    return 27 + page[26] + sum(table)


def _crc(page: bytes) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def _table_entry(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = value << 1 ^ (_POLYNOMIAL if value >> 31 else 0)
        value &= 0xFFFFFFFF
    return value


_TABLE = [_table_entry(byte) for byte in range(256)]
