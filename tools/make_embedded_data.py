"""Makes the embedded data from Debian's package dataset-fashion-mnist.

    apt-get install dataset-fashion-mnist
    python tools/make_embedded_data.py

The same input gives the same bytes (with the same zlib).
"""

import argparse
import gzip
import io
import struct
from pathlib import Path

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
PACKAGE_DATA = (
    Path(__file__).resolve().parents[1] / "gim_tf" / "data" / "fashion_mnist"
)
COUNTS = {"train": 10_000, "t10k": 2_000}


def main() -> None:
    """Writes the first examples of each of the four files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=DEBIAN)
    parser.add_argument("--output", type=Path, default=PACKAGE_DATA)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for prefix, count in COUNTS.items():
        for name in ("images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"):
            whole = (arguments.source / f"{prefix}-{name}").read_bytes()
            part = first_examples(gzip.decompress(whole), count)
            (arguments.output / f"{prefix}-{name}").write_bytes(packed(part))


def first_examples(idx: bytes, count: int) -> bytes:
    """The first `count` examples of an IDX file of uint8, as an IDX file."""
    rank = idx[3]
    total, *rest = struct.unpack(f">{rank}i", idx[4 : 4 + 4 * rank])
    if total < count:
        raise ValueError(f"Expected {count} examples, received {total}.")
    size = 1
    for side in rest:
        size *= side
    header = idx[:4] + struct.pack(f">{rank}i", count, *rest)
    start = len(header)
    return header + idx[start : start + count * size]


def packed(content: bytes) -> bytes:
    """Gzip at level 9 without name and time."""
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", 9, buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
