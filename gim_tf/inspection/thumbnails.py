"""What an encoded file looks like on a page, and what it sounds like."""

import io
from typing import NamedTuple

import numpy as np
import soundfile
from PIL import Image

from gim_tf.data import pcm
from gim_tf.data.alignments import FIELD
from gim_tf.inspection.spectrograms import TILE_SECONDS, spectrogram_tile

SIDE = 256  # pixels, the longer side of a large picture

_SOUND = (b"fLaC", b"RIFF", b"OggS")
_HEARD = 10.0  # seconds: 200 kB a recording


class Thumbnail(NamedTuple):
    """One item, small.

    Attributes:
      picture: a PNG; None if nothing can be shown.
      crisp: whether its pixels are so few that they should be seen.
      sound: a FLAC file of the first seconds; None: there is none.
      note: what a person should know of it, or nothing.
    """

    picture: bytes | None
    crisp: bool = False
    sound: bytes | None = None
    note: str = ""


def thumbnail(encoded: bytes | None) -> Thumbnail:
    """Of a picture or a recording; None, or a damaged file, has no picture."""
    if encoded is None:
        return Thumbnail(None, note="not found in the source")
    try:
        if encoded[:4] in _SOUND:
            return _of_sound(encoded)
        return _of_picture(encoded)
    # Whatever Pillow and soundfile raise: there is nothing to see.
    except Exception:
        return Thumbnail(None, note="cannot be shown")


def pixels(encoded: bytes | None, side: int) -> np.ndarray:
    """uint8 [side, side, 3], centred on black; black if nothing can be shown.

    Args:
      encoded: a file, see `thumbnail`.
      side: of the square; smaller pictures are not enlarged.
    """
    sheet = Image.new("RGB", (side, side))
    found = thumbnail(encoded).picture
    if found is not None:
        image = Image.open(io.BytesIO(found)).convert("RGB")
        image.thumbnail((side, side))
        left, top = (side - image.width) // 2, (side - image.height) // 2
        sheet.paste(image, (left, top))
    return np.asarray(sheet)


def _of_picture(encoded: bytes) -> Thumbnail:
    image: Image.Image = Image.open(io.BytesIO(encoded))
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    crisp = max(image.size) <= SIDE // 2
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Thumbnail(buffer.getvalue(), crisp)


def _of_sound(encoded: bytes) -> Thumbnail:
    samples, rate = soundfile.read(
        io.BytesIO(encoded), dtype="int16", always_2d=True
    )
    mono = samples.mean(axis=1).astype(np.int16)
    seconds = len(mono) / rate
    heard = pcm.encode(mono[: round(_HEARD * rate)], rate)
    if len(mono) < FIELD:
        return Thumbnail(None, sound=heard, note=f"{seconds:.2f} s")
    return Thumbnail(
        spectrogram_tile(mono / 2**15, sample_rate=rate),
        sound=heard,
        note=f"{seconds:.1f} s"
        if round(seconds, 1) <= TILE_SECONDS
        else f"{TILE_SECONDS:g} of {seconds:.1f} s",
    )
