"""Samples of encoded recordings as integers of 16 bits, outside of graphs."""

import io
from typing import BinaryIO

import numpy as np
import soundfile

_HEADER_BYTES = 26  # of a FLAC file, up to its number of samples


def decode(encoded: bytes) -> np.ndarray:
    """[n] int16 of a WAV or FLAC file of 16 bits with one channel."""
    samples, _ = soundfile.read(io.BytesIO(encoded), dtype="int16")
    return samples


def encode(samples: np.ndarray, sample_rate: int) -> bytes:
    """FLAC file of [n] int16; equal samples give equal bytes."""
    buffer = io.BytesIO()
    soundfile.write(
        buffer, samples, sample_rate, format="FLAC", subtype="PCM_16"
    )
    return buffer.getvalue()


def num_samples(file: BinaryIO, sample_rate: int) -> int:
    """How long a recording is once it has `sample_rate`, by its header.

    Args:
      file: FLAC, WAV or OGG; of a FLAC the first 26 bytes are enough.
      sample_rate: samples a second.

    Returns:
      The number of samples of each channel; 0 if there is no such header.
    """
    head = file.read(_HEADER_BYTES)
    if head[:4] == b"fLaC" and len(head) == _HEADER_BYTES:
        # 20 bits of rate, 8 of other facts, 36 of length (RFC 9639, 8.2).
        packed = int.from_bytes(head[18:26], "big")
        rate, frames = packed >> 44, packed & 2**36 - 1
    else:
        file.seek(0)
        try:
            with soundfile.SoundFile(file) as found:
                rate, frames = found.samplerate, found.frames
        except soundfile.SoundFileError:
            return 0
    return -(-frames * sample_rate // rate) if rate else 0
