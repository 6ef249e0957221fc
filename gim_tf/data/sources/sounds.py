"""A folder of recordings, in folders by speaker."""

from pathlib import PurePosixPath

from gim_tf.data.sources.recordings import Recording, RecordingsReader
from gim_tf.data.sources.speech import normal

SUFFIXES = (".flac", ".wav", ".ogg")


class SoundsReader(RecordingsReader):
    """A split "train" from `SPEAKER/*.flac`, `*.wav` and `*.ogg`.

    Folders in a speaker's folder are searched too; files with other endings,
    such as transcripts, and hidden ones are left alone. An id is the path
    below `data.path`. `data.holdout` makes a split "test", and so does
    `data.train_share` (see `RecordingsReader`).
    """

    layout = "SPEAKER/*.flac, SPEAKER/*.wav or SPEAKER/*.ogg"

    def _is_recording(self, name: str) -> bool:
        path = PurePosixPath(name)
        return path.suffix.lower() in SUFFIXES and len(path.parts) > 1

    def _recording(self, name: str) -> Recording:
        return Recording(name, normal(PurePosixPath(name).parts[0]), name)
