"""Pushes: complete or not at all, numbered, verified; imports no TFX."""

import os
import threading
from pathlib import Path

import pytest

from gim_tf.errors import ExportError
from gim_tf.export.manifest import write_manifest
from pipelines.pusher import push, versions


def make_model(directory, weights=b"weights"):
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(b"graph")
    (directory / "variables" / "variables.index").write_bytes(weights)
    write_manifest(directory, {})
    return str(directory)


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


def test_versions_count_up_from_the_largest(model, tmp_path):
    serving = tmp_path / "serving"
    (serving / "41").mkdir(parents=True)
    (serving / "not-a-version").mkdir()
    assert push(model, str(serving)) == str(serving / "42")
    assert versions(str(serving)) == [41, 42]
    copied = serving / "42" / "variables" / "variables.index"
    assert copied.read_bytes() == b"weights"


def test_a_push_is_not_repeated(model, tmp_path):
    serving = tmp_path / "serving"
    first = push(model, str(serving))
    assert push(model, str(serving)) == first
    other = make_model(tmp_path / "other", b"other")
    assert push(other, str(serving)) == str(serving / "2")
    assert push(model, str(serving)) == str(serving / "3")


def test_a_damaged_version_is_pushed_again(model, tmp_path):
    serving = tmp_path / "serving"
    (Path(push(model, str(serving))) / "saved_model.pb").unlink()
    assert push(model, str(serving)) == str(serving / "2")


def test_P6_simultaneous_pushes_are_all_kept(tmp_path, injected):
    serving = str(tmp_path / "serving")
    pushed = []
    models = [make_model(tmp_path / f"model {n}", bytes([n])) for n in range(4)]
    threads = [
        threading.Thread(target=lambda m=m: pushed.append(push(m, serving)))
        for m in models
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    injected(4, {1, 2, 3, 4} ^ set(versions(serving)))
    assert len(set(pushed)) == 4


def test_P6_a_killed_push_shows_no_version_and_is_cleaned_up(model, tmp_path):
    serving = tmp_path / "serving"
    child = os.fork()
    if not child:
        Path.rename = lambda self, target: os._exit(9)
        push(model, str(serving))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert versions(str(serving)) == []
    assert list(serving.glob(".incoming-*"))
    assert push(model, str(serving)) == str(serving / "1")
    assert not list(serving.glob(".incoming-*"))


def test_security_an_altered_model_is_not_pushed(model, tmp_path):
    (Path(model) / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(ExportError, match=r"saved_model\.pb is altered"):
        push(model, str(tmp_path / "serving"))
    assert versions(str(tmp_path / "serving")) == []


def test_a_file_in_the_way_is_named(model, tmp_path):
    (tmp_path / "serving").write_text("")
    with pytest.raises(ExportError, match="Cannot push to"):
        push(model, str(tmp_path / "serving"))
