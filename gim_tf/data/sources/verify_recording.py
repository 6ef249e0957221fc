"""Checks encoded recordings once, at ingest: FLAC, WAV and OGG.

Stored is what `gim_tf.data.windows.decode` reads: FLAC and WAV of 16 bits,
unchanged; OGG is stored as FLAC.
"""

import hashlib
import io

import numpy as np
import soundfile
import tensorflow as tf

from gim_tf.data.sources import ogg
from gim_tf.data.sources.verify import UnreadableError

MAX_SAMPLES = 2**27  # 2.3 hours at 16 kHz; float32 of it take 0.5 GB

_MAGIC = {b"fLaC": "FLAC", b"RIFF": "WAV", b"OggS": "OGG"}
_MD5 = slice(26, 42)  # of a FLAC's samples, in its header (RFC 9639, 8.2)


def verified_recording(
    encoded: bytes, *, sample_rate: int, min_samples: int
) -> bytes:
    """Returns a FLAC or WAV file with the same samples.

    Args:
      encoded: a FLAC, WAV or OGG file with one channel.
      sample_rate: samples a second that it must have.
      min_samples: the least samples that it must have.

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
    samples = _samples(encoded, kind, sample_rate, min_samples)
    if samples.min() == samples.max():
        raise UnreadableError("silent, all samples are equal")
    if kind == "FLAC":
        _check_digest(encoded, samples)
    elif kind == "WAV":
        _check_graph_decodes(encoded)
    return _flac(samples, sample_rate) if kind == "OGG" else encoded


def _samples(
    encoded: bytes, kind: str, sample_rate: int, min_samples: int
) -> np.ndarray:
    """[n] int16, or [n] float32 of an OGG, which has no bits."""
    try:
        with soundfile.SoundFile(io.BytesIO(encoded)) as file:
            _check_header(file, kind, sample_rate, min_samples)
            expected = file.frames
            samples = file.read(dtype="float32" if kind == "OGG" else "int16")
    except UnreadableError:
        raise
    except Exception as error:  # soundfile's own, and NumPy's on odd lengths
        reason = str(error).split("Error : ")[-1].split("\n")[0][:100]
        raise UnreadableError(f"truncated or damaged, {reason}") from error
    if len(samples) != expected:
        raise UnreadableError(
            f"truncated, {len(samples)} of {expected} samples"
        )
    return samples


def _check_header(
    file: soundfile.SoundFile, kind: str, sample_rate: int, min_samples: int
) -> None:
    if file.samplerate != sample_rate:
        raise UnreadableError(
            f"{file.samplerate} samples a second, expected {sample_rate}"
        )
    if file.channels != 1:
        raise UnreadableError(f"{file.channels} channels, expected one")
    if kind != "OGG" and file.subtype != "PCM_16":
        raise UnreadableError(f"samples are {file.subtype}, expected PCM_16")
    if file.frames < min_samples:
        raise UnreadableError(
            f"too short, {file.frames} samples, at least {min_samples}"
        )
    if file.frames > MAX_SAMPLES:
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
        tf.audio.decode_wav(encoded, desired_channels=1)
    except tf.errors.OpError as error:
        raise UnreadableError(
            "truncated, or no plain WAV: the decoder refuses it"
        ) from error


def _flac(samples: np.ndarray, sample_rate: int) -> bytes:
    scaled = np.rint(samples * 32768.0).clip(-32768, 32767)
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        scaled.astype(np.int16),
        sample_rate,
        format="FLAC",
        subtype="PCM_16",
    )
    return buffer.getvalue()
