"""WAV files of other recordings: what a client sends to an exported encoder."""

import io

import numpy as np
import soundfile

from gim_tf.data.sources.verify import UnreadableError

_16_BITS = "PCM_16"


def to_wav(encoded: bytes) -> bytes:
    """A WAV file of 16 bits with the samples of a recording.

    What is one already is returned unchanged. Samples of 16 bits are exact,
    others are rounded. Rate and channels are kept.

    Args:
      encoded: a file that soundfile reads: WAV, FLAC or OGG.

    Raises:
      UnreadableError: foreign, truncated or damaged.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(encoded)) as file:
            if (file.format, file.subtype) == ("WAV", _16_BITS):
                return encoded
            exact = file.subtype == _16_BITS
            samples = file.read(dtype="int16" if exact else "float32")
            rate = file.samplerate
    except Exception as error:  # soundfile's own, and NumPy's on odd lengths
        raise UnreadableError(
            "it is no WAV, FLAC or OGG file, or it is damaged"
        ) from error
    if not exact:
        scaled = np.rint(samples * 32768.0).clip(-32768, 32767)
        samples = scaled.astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="WAV", subtype=_16_BITS)
    return buffer.getvalue()
