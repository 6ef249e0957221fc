"""The versions of one model: found by polling, swapped without a gap."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gim_tf.errors import ExportError, GimError, ModelNotFoundError
from serving.served_model import ServedModel

_LOG = logging.getLogger(__name__)


class LoadedVersion(NamedTuple):
    """A version that can answer; it does as long as somebody holds it."""

    version: int
    model: ServedModel


class VersionStatus(NamedTuple):
    """What a version is doing.

    Attributes:
      version: its number.
      state: of TF Serving's ModelVersionStatus: LOADING, AVAILABLE or END.
      error: why it could not be loaded; or empty.
    """

    version: int
    state: str
    error: str = ""


class ModelRepository:
    """Keeps the newest version that can be loaded.

    A version is a directory whose name is an integer. A new one is verified,
    loaded and warmed up while the one before it answers; then they change
    places at once, and the old one ends with the last request that it has
    begun. Removing the newest directory brings the one before it back. One
    that cannot be loaded is passed over until its manifest is written again;
    if none is left the last one stays.

    Args:
      name: of the model, in requests.
      directory: of the versions.
      load: path of a version -> the model.
    """

    def __init__(
        self,
        name: str,
        directory: str | Path,
        load: Callable[[Path], ServedModel] = ServedModel,
    ) -> None:
        self.name = name
        self._directory = Path(directory)
        self._load = load
        self._current: LoadedVersion | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._failed: dict[int, float] = {}
        self._ended = threading.Event()

    def poll(self) -> None:
        """Looks once for what should be served now."""
        for version in sorted(self._present(), reverse=True):
            if self._current and version == self._current.version:
                return
            written = self._written(version)
            if self._failed.get(version) == written:
                continue
            if self._try(version):
                return
            self._failed[version] = written

    def keep_polling(self, seconds: float) -> None:
        """Polls in a thread of its own until `close`."""

        def loop() -> None:
            while not self._ended.wait(seconds):
                try:
                    self.poll()
                except Exception:  # of a file system; the next look may do
                    _LOG.exception("Looking for versions failed")

        threading.Thread(target=loop, name="versions", daemon=True).start()

    def close(self) -> None:
        """Ends the polling."""
        self._ended.set()

    def get(self, name: str, version: int | None = None) -> LoadedVersion:
        """The version that answers now, or that number.

        Raises:
          ModelNotFoundError: another name, or a number that is not loaded.
        """
        current = self._current
        asked = "Latest" if version is None else "Specific"
        if (
            name != self.name
            or current is None
            or version not in (None, current.version)
        ):
            number = "" if version is None else f", {version}"
            raise ModelNotFoundError(
                f"Servable not found for request: {asked}({name}{number})"
            )
        return current

    def statuses(
        self, name: str, version: int | None = None
    ) -> list[VersionStatus]:
        """What is known of all versions, or of that number, newest first.

        Raises:
          ModelNotFoundError: nothing is.
        """
        found = [
            status
            for number, status in sorted(self._statuses.items(), reverse=True)
            if version in (None, number)
        ]
        if name != self.name or not found:
            raise ModelNotFoundError(
                f"Could not find any versions of model {name}"
                + ("" if version is None else f" with the number {version}")
            )
        return found

    def _present(self) -> list[int]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except OSError:
            names = []
        return [int(name) for name in names if name.isdecimal()]

    def _written(self, version: int) -> float:
        try:
            manifest = self._directory / str(version) / "manifest.json"
            return manifest.stat().st_mtime
        except OSError:
            return 0.0

    def _try(self, version: int) -> bool:
        """Loads a version and puts it in the place of the current one."""
        self._set(version, "LOADING")
        try:
            model = self._load(self._directory / str(version))
            warmed = model.warm_up()
        except GimError as error:
            self._set(version, "END", str(error))
            _LOG.error("Version %d is not served: %s", version, error)
            return False
        before, self._current = self._current, LoadedVersion(version, model)
        self._set(version, "AVAILABLE")
        if before:
            self._set(before.version, "END")
        _LOG.info(
            "Version %d answers now (%d warm-up requests)%s",
            version,
            warmed,
            f", version {before.version} ends" if before else "",
        )
        return True

    def _set(self, version: int, state: str, error: str = "") -> None:
        # Replaced, not changed: another thread may be reading it.
        self._statuses = {
            **self._statuses,
            version: VersionStatus(version, state, error),
        }


def require_one(repository: ModelRepository, directory: str | Path) -> None:
    """Polls once, for a start that fails where there is nothing to serve.

    Raises:
      ExportError: no version, or none that can be loaded; names the reason.
    """
    repository.poll()
    try:
        repository.get(repository.name)
    except ModelNotFoundError:
        pass
    else:
        return
    try:
        newest = repository.statuses(repository.name)[0]
    except ModelNotFoundError as error:
        raise ExportError(
            f"{directory} holds no version: expected directories with numbers "
            "for names, such as 1, with an exported model in each."
        ) from error
    raise ExportError(newest.error)
