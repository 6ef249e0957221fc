"""Encoded images: what is stored decodes, what is damaged is refused."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gim_tf.data.sources import verify
from gim_tf.data.sources.verify import UnreadableError, verified
from tests.source_files import decode, encode, noise


def gray():
    return (np.add.outer(np.arange(20), np.arange(30)) * 5 % 256).astype("u1")


def color():
    return np.stack([gray(), gray()[::-1], gray()[:, ::-1]], -1)


def variants():
    rgb, grey = Image.fromarray(color()), Image.fromarray(gray())
    rgba = rgb.copy()
    rgba.putalpha(grey)
    palette = rgb.quantize(64)
    return {
        "png": (encode(rgb), rgb),
        "png gray": (encode(grey), grey),
        "png bits": (encode(grey.convert("1")), grey.convert("1")),
        "png alpha": (encode(rgba), rgba),
        "png gray alpha": (encode(grey.convert("LA")), grey),
        "png palette": (encode(palette), palette),
        "png hole": (encode(palette, transparency=3), palette),
        "png 16 bit": (encode(gray().astype("u2") * 257), grey),
        "tiff 16 bit": (encode(gray().astype("u2") * 257, "TIFF"), grey),
        "bmp": (encode(rgb, "BMP"), rgb),
        "bmp gray": (encode(grey, "BMP"), grey),
        "bmp palette": (encode(palette, "BMP"), palette),
        "gif": (encode(palette, "GIF"), palette),
        "webp": (encode(rgb, "WEBP", lossless=True), rgb),
        "tiff": (encode(rgb, "TIFF"), rgb),
        "1x1": (encode(noise(1, 1)), Image.fromarray(noise(1, 1))),
    }


@pytest.mark.parametrize("name", variants())
def test_D3_the_graph_decodes_what_is_stored(name):
    encoded, image = variants()[name]
    stored = verified(encoded)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(stored, 3), expected)
    expected = np.asarray(image.convert("L"), int)[..., None]
    assert abs(decode(stored, 1) - expected).max() <= 1  # rounding of the sum


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_D3_the_graph_decodes_stored_jpegs(mode):
    rows = np.linspace(0, 255, 20).astype("u1")
    image = Image.fromarray(np.tile(rows, (9, 1))).convert("RGB").convert(mode)
    stored = verified(encode(image, "JPEG", quality=95))
    difference = decode(stored, 3) - np.asarray(image.convert("RGB"), int)
    assert abs(difference).max() <= 6
    assert decode(stored, 1).shape == (9, 20, 1)


def test_intact_jpeg_and_png_are_stored_unchanged():
    for kind in ("JPEG", "PNG"):
        encoded = encode(color(), kind)
        assert verified(encoded) == encoded


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_D1_truncated_images_are_rejected(kind, kept):
    encoded = encode(noise(40, 50), kind)
    with pytest.raises(UnreadableError):
        verified(encoded[: int(len(encoded) * kept)])


def test_D1_every_flipped_bit_of_a_png_is_found_or_harmless(injected):
    encoded = encode(color())
    positions = range(0, len(encoded), 7)
    changed = []
    for position in positions:
        flipped = bytearray(encoded)
        flipped[position] ^= 1
        try:
            stored = verified(bytes(flipped))
        except UnreadableError:
            continue
        if not np.array_equal(decode(stored, 3), color()):
            changed.append(position)
    injected(len(positions), changed)


def test_D3_sizes_are_refused_before_they_are_decoded():
    bomb = bytearray(encode(np.zeros((8, 8), "u1")))
    for side, reason in ((8001, "8001x8001"), (60_000, "too large")):
        bomb[16:24] = struct.pack(">ii", side, side)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
        with pytest.raises(UnreadableError, match=reason):
            verified(bytes(bomb))


def test_D3_a_side_that_no_decoder_reads_is_refused():
    long = encode(np.zeros((1_000_001, 1), "u1"), "BMP")
    with pytest.raises(UnreadableError, match="1x1000001 pixels, a side"):
        verified(long)


def test_D3_8000_by_8000_is_the_largest(monkeypatch):
    assert verify.MAX_PIXELS == 8000 * 8000
    monkeypatch.setattr(verify, "MAX_PIXELS", 20 * 30)
    assert verified(encode(gray()))
    monkeypatch.setattr(verify, "MAX_PIXELS", 20 * 30 - 1)
    with pytest.raises(UnreadableError, match=r"30x20 pixels"):
        verified(encode(gray()))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_are_rejected(kind):
    first, second = (Image.fromarray(noise(9, 9, seed=s)) for s in (1, 2))
    encoded = encode(first, kind, save_all=True, append_images=[second])
    with pytest.raises(UnreadableError, match=r"2 frames"):
        verified(encoded)


def test_float_images_are_rejected():
    with pytest.raises(UnreadableError, match=r"mode F"):
        verified(encode(np.zeros((3, 3), np.float32), "TIFF"))
