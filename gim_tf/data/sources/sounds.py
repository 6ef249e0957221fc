"""A folder of recordings, in folders by speaker."""

from collections.abc import Iterator
from pathlib import Path

from gim_tf.data.sources.files import visible_files
from gim_tf.data.sources.recordings import Recording, RecordingsReader, normal

SUFFIXES = (".flac", ".wav", ".ogg")


class SoundsReader(RecordingsReader):
    """A split "train" from `SPEAKER/*.flac`, `*.wav` and `*.ogg`.

    Folders in a speaker's folder are searched too; files with other endings,
    such as transcripts, and hidden ones are left alone. An id is the path
    below `data.path`. `data.holdout` makes a split "test".
    """

    layout = "SPEAKER/*.flac, SPEAKER/*.wav or SPEAKER/*.ogg"

    def _listed(self) -> Iterator[Recording]:
        root = self.path
        for name in visible_files(root):
            below = Path(name).relative_to(root)
            if below.suffix.lower() in SUFFIXES and len(below.parts) > 1:
                member = below.as_posix()
                yield Recording(member, normal(below.parts[0]), member)
