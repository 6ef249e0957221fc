"""Versions are found, swapped and rolled back; broken ones are passed over."""

import os
import threading

import pytest

from gim_tf.errors import ExportError, ModelNotFoundError
from serving.local_server.repository import ModelRepository, require_one


class Model:
    """Stands for a loaded version."""

    def __init__(self, path):
        self.path = path
        if (path / "broken").exists():
            raise ExportError(f"{path.name} is altered")

    def warm_up(self):
        return 0


@pytest.fixture
def repository(tmp_path):
    return ModelRepository("gim", tmp_path, Model)


def put(directory, *versions, broken=False):
    for version in versions:
        (directory / str(version)).mkdir()
        (directory / str(version) / "manifest.json").touch()
        if broken:
            (directory / str(version) / "broken").touch()


def served(repository):
    repository.poll()
    return repository.get("gim").version


def states(repository):
    return {s.version: s.state for s in repository.statuses("gim")}


def test_the_newest_version_answers_and_removing_it_rolls_back(
    repository, tmp_path
):
    put(tmp_path, 1, 9, 10)
    (tmp_path / ".incoming-11").mkdir()
    (tmp_path / "core").mkdir()
    assert served(repository) == 10
    held = repository.get("gim")
    (tmp_path / "10").rename(tmp_path / "removed")
    assert served(repository) == 9
    assert states(repository) == {10: "END", 9: "AVAILABLE"}
    assert held.model.path.name == "10"  # what has begun goes on
    put(tmp_path, 11)
    assert served(repository) == 11
    for version in (9, 1, 11):
        (tmp_path / str(version) / "manifest.json").unlink()
        (tmp_path / str(version)).rmdir()
    assert served(repository) == 11


def test_a_broken_version_is_passed_over_until_it_is_written_again(
    repository, tmp_path
):
    put(tmp_path, 1)
    put(tmp_path, 2, broken=True)
    assert served(repository) == 1
    broken, fine = repository.statuses("gim")
    assert (broken.state, broken.error) == ("END", "2 is altered")
    assert (fine.version, fine.state) == (1, "AVAILABLE")
    (tmp_path / "2" / "broken").unlink()
    assert served(repository) == 1
    os.utime(tmp_path / "2" / "manifest.json", (1, 1))
    assert served(repository) == 2


def test_what_is_not_loaded_is_not_found(repository, tmp_path):
    put(tmp_path, 1, 2)
    repository.poll()
    assert repository.get("gim", 2).version == 2
    for name, version in (("gim", 1), ("other", None), ("other", 2)):
        with pytest.raises(ModelNotFoundError, match=rf"\({name}"):
            repository.get(name, version)
    with pytest.raises(ModelNotFoundError, match="with the number 7"):
        repository.statuses("gim", 7)


def test_the_old_version_answers_while_the_new_one_is_loading(tmp_path):
    loading, go_on = threading.Event(), threading.Event()

    def load(path):
        if path.name == "2":
            loading.set()
            go_on.wait(10)
        return Model(path)

    repository = ModelRepository("gim", tmp_path, load)
    put(tmp_path, 1)
    assert served(repository) == 1
    put(tmp_path, 2)
    repository.keep_polling(0.01)
    assert loading.wait(10)
    assert repository.get("gim").version == 1
    assert states(repository) == {1: "AVAILABLE", 2: "LOADING"}
    go_on.set()
    while repository.get("gim").version == 1:
        pass
    repository.close()
    assert states(repository) == {1: "END", 2: "AVAILABLE"}


def test_a_start_without_a_version_says_what_is_missing(repository, tmp_path):
    with pytest.raises(ExportError, match="holds no version: expected dir"):
        require_one(repository, tmp_path)
    put(tmp_path, 3, broken=True)
    with pytest.raises(ExportError, match="3 is altered"):
        require_one(repository, tmp_path)
