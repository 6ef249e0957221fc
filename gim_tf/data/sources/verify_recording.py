"""Checks encoded recordings once, at ingest: FLAC, WAV and OGG.

Stored is what `gim_tf.data.windows.decode` reads: FLAC and WAV of 16 bits,
unchanged; OGG, FLAC of unusual blocks, and what is resampled or downmixed, is
stored as FLAC.
"""

import hashlib
import io
import math
import struct
from typing import NamedTuple

import numpy as np
import soundfile
import tensorflow as tf

from gim_tf.data import pcm
from gim_tf.data.sources import ogg
from gim_tf.data.sources.verify import UnreadableError

MAX_SAMPLES = 2**27  # 2.3 hours at 16 kHz; float64 of it take 1 GB

_MAGIC = {b"fLaC": "FLAC", b"RIFF": "WAV", b"OggS": "OGG"}
# The least and the most samples of a block, in a FLAC's header. The graph's
# decoder fails where one is wrong, and libsndfile does not look at them.
_BLOCKS = slice(8, 12)
_USUAL_BLOCKS = struct.pack(">HH", 4096, 4096)
_MD5 = slice(26, 42)  # of a FLAC's samples, in its header (RFC 9639, 8.2)


class Wanted(NamedTuple):
    """What a recording must be.

    Attributes:
      sample_rate: samples a second.
      min_samples: the least samples, at that rate.
      resample: whether other rates are converted instead of refused.
      downmix: whether channels are averaged instead of refused.
    """

    sample_rate: int
    min_samples: int
    resample: bool = False
    downmix: bool = False


def verified_recording(encoded: bytes, wanted: Wanted) -> bytes:
    """Returns a FLAC or WAV file of 16 bits with one channel.

    It has the samples of `encoded`, a FLAC, WAV or OGG file, unless they are
    to be resampled or downmixed.

    Raises:
      UnreadableError: empty, foreign, truncated, damaged, silent, too short
        or long, or with other rates, channels or bits.
    """
    if not encoded:
        raise UnreadableError("empty")
    kind = _MAGIC.get(encoded[:4])
    if kind is None:
        raise UnreadableError(f"not one of {', '.join(_MAGIC.values())}")
    wrong = ogg.find_damage(encoded) if kind == "OGG" else None
    if wrong:
        raise UnreadableError(wrong)
    samples, rate = _samples(encoded, kind, wanted)
    check_sound(samples)
    if kind == "FLAC":
        _check_digest(encoded, samples)
    if kind == "WAV":
        _check_graph_decodes(encoded)
    is_kept = kind == "WAV" or encoded[_BLOCKS] == _USUAL_BLOCKS
    if is_kept and rate == wanted.sample_rate and samples.shape[1] == 1:
        return encoded
    converted = _converted(samples, rate, wanted.sample_rate)
    check_sound(converted)
    return pcm.encode(converted, wanted.sample_rate)


def check_sound(samples: np.ndarray) -> None:
    """Raises `UnreadableError` if all samples are equal."""
    if not samples.size or samples.min() == samples.max():
        raise UnreadableError("silent, all samples are equal")


def _samples(
    encoded: bytes, kind: str, wanted: Wanted
) -> tuple[np.ndarray, int]:
    """[n, c] int16, or float32 of an OGG, which has no bits; and their rate."""
    try:
        with soundfile.SoundFile(io.BytesIO(encoded)) as file:
            _check_header(file, kind, wanted)
            expected = file.frames
            samples = file.read(
                dtype="float32" if kind == "OGG" else "int16", always_2d=True
            )
    except UnreadableError:
        raise
    except Exception as error:  # soundfile's own, and NumPy's on odd lengths
        reason = str(error).split("Error : ")[-1].split("\n")[0][:100]
        raise UnreadableError(f"truncated or damaged, {reason}") from error
    if len(samples) != expected:
        raise UnreadableError(
            f"truncated, {len(samples)} of {expected} samples"
        )
    return samples, file.samplerate


def _check_header(file: soundfile.SoundFile, kind: str, wanted: Wanted) -> None:
    if file.samplerate != wanted.sample_rate and not wanted.resample:
        raise UnreadableError(
            f"{file.samplerate} samples a second, expected "
            f"{wanted.sample_rate}; data.resample=true (--resample) converts"
        )
    if file.channels != 1 and not wanted.downmix:
        raise UnreadableError(
            f"{file.channels} channels, expected one; data.downmix=true "
            "(--downmix) averages them"
        )
    if kind != "OGG" and file.subtype != "PCM_16":
        raise UnreadableError(f"samples are {file.subtype}, expected PCM_16")
    # In integers: a header may announce 2**36 samples at 1 Hz.
    stored = -(-file.frames * wanted.sample_rate // file.samplerate)
    if stored < wanted.min_samples:
        raise UnreadableError(
            f"too short, {stored} samples, at least {wanted.min_samples}"
        )
    if max(file.frames * file.channels, stored) > MAX_SAMPLES:
        raise UnreadableError(
            f"too long, or of unknown length, at most {MAX_SAMPLES} samples"
        )


def _check_digest(encoded: bytes, samples: np.ndarray) -> None:
    # Checksums of frames are verified in decoding; a lost frame passes there.
    expected = encoded[_MD5]
    digest = hashlib.md5(samples.astype("<i2").tobytes(), usedforsecurity=False)
    if any(expected) and digest.digest() != expected:
        raise UnreadableError("damaged, the samples' checksum differs")


def _check_graph_decodes(encoded: bytes) -> None:
    # libsndfile is lenient with lengths and formats, this decoder is not.
    try:
        tf.audio.decode_wav(encoded)
    # UnicodeDecodeError: a message that repeats the file's bytes.
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UnreadableError(
            "truncated, or no plain WAV: the decoder refuses it"
        ) from error


def _converted(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """[n, c] int16 or float32 in [-1, 1] -> [m] int16 at the wanted rate."""
    scale = 1.0 if samples.dtype == np.int16 else 32768.0
    mono = scale * samples.mean(axis=1, dtype=np.float64)
    if rate != wanted:
        # Imported here: nothing else of ingest needs it.
        from scipy import signal

        common = math.gcd(rate, wanted)
        mono = signal.resample_poly(mono, wanted // common, rate // common)
    return np.rint(mono).clip(-32768, 32767).astype(np.int16)
