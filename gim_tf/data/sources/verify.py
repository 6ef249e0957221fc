"""Checks encoded images once, at ingest, so that no later step meets a bad one.

Stored is what `tf.io.decode_image(channels=1 or 3)` reads. JPEG and PNG that
it reads are stored unchanged, so that a file means the same to the pipeline
and to the exported model; the rest is stored as PNG.
"""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

MAX_PIXELS = 64_000_000  # three float32 channels of it take 0.8 GB
MAX_SIDE = 1_000_000  # pixels; libpng reads no longer one
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

_KEPT = ("JPEG", "MPO", "PNG")  # MPO: what Pillow calls a JPEG with previews


class UnreadableError(ValueError):
    """One example cannot be used; the message says why, in a few words."""


def verified(encoded: bytes) -> bytes:
    """Returns an image file with the same pixels that the graph can decode.

    Alpha is dropped, palettes are expanded and 16 bits are cut to the upper 8,
    as the graph's decoder does. An animation is refused: nothing says which of
    its pictures the label is about.

    Raises:
      UnreadableError: empty, foreign, truncated, damaged, animated, or above
        `MAX_PIXELS` or `MAX_SIDE` (found in the header, before anything is
        decoded).
    """
    image = _opened(encoded)
    _loaded(image)
    if _is_kept(image):
        _check_graph_decodes(encoded)
        return encoded
    return _png(image)


def as_stored(encoded: bytes) -> bytes:
    """Returns what `verified` returns, without decoding what stays unchanged.

    For files that a decoder is given next which refuses damage.

    Raises:
      UnreadableError: see `verified`; of a PNG or JPEG only by its header.
    """
    image = _opened(encoded)
    if _is_kept(image) and not getattr(image, "is_animated", False):
        return encoded
    return verified(encoded)


def encode_pixels(pixels: np.ndarray) -> bytes:
    """PNG of uint8 pixels, [height, width] or [height, width, 3]."""
    return _png(Image.fromarray(pixels))


def _is_kept(image: Image.Image) -> bool:
    # Only inverted CMYK is wrong among the JPEGs; PNG is right in all modes.
    return image.format in _KEPT and image.mode != "CMYK"


def _opened(encoded: bytes) -> Image.Image:
    if not encoded:
        raise UnreadableError("empty")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"too large, {error}") from error
    except Image.UnidentifiedImageError as error:
        raise UnreadableError(f"not one of {', '.join(FORMATS)}") from error
    except Exception as error:
        raise UnreadableError(f"damaged header, {_brief(error)}") from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableError(
            f"too large, {width}x{height} pixels, at most {MAX_PIXELS}"
        )
    if max(width, height) > MAX_SIDE:
        raise UnreadableError(
            f"too large, {width}x{height} pixels, a side at most {MAX_SIDE}"
        )
    return image


def _loaded(image: Image.Image) -> None:
    try:
        frames = getattr(image, "n_frames", 1)
        image.load()
    except Exception as error:  # Pillow's plugins raise all kinds on damage
        raise UnreadableError(f"damaged, {_brief(error)}") from error
    if frames > 1 and image.format != "MPO":
        raise UnreadableError(f"{frames} frames, expected one")


def _check_graph_decodes(encoded: bytes) -> None:
    # Pillow is lenient with the end of a PNG, this decoder is not.
    try:
        tf.io.decode_image(encoded, channels=3, expand_animations=False)
    # UnicodeDecodeError: a message that repeats the file's bytes.
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UnreadableError("damaged, the decoder refuses it") from error


def _png(image: Image.Image) -> bytes:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableError(f"pixels of mode {image.mode}, expected 8 bits")
    elif image.mode not in ("L", "RGB"):
        grey = image.mode in ("1", "LA", "La")
        image = image.convert("L" if grey else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n")[0][:100]
