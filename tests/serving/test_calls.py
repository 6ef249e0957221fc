"""Batches of bounded size, retries that end, and padding as the model's."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from gim_tf.errors import (
    ConfigError,
    InvalidRequestError,
    RequestTooLargeError,
    UnavailableError,
)
from serving import load_test
from serving.calls import Patience, Signature, retrying
from serving.client import batches, connect, encode_files
from serving.local_server.running import Answering


def test_batches_keep_the_order_and_both_bounds():
    files = [bytes(n) for n in (3, 3, 3, 9, 1, 1, 1, 1)]
    cut = list(batches(files, max_bytes=9, max_files=3))
    assert [len(batch) for batch in cut] == [3, 1, 3, 1]
    assert [file for batch in cut for file in batch] == files
    with pytest.raises(RequestTooLargeError, match="File 2 has 10 bytes"):
        list(batches([b"", bytes(10)], max_bytes=9, max_files=3))
    with pytest.raises(InvalidRequestError, match="at least one file"):
        list(batches([], max_bytes=9, max_files=3))


def test_an_unavailable_server_is_asked_again_with_growing_waits():
    waits, left = [], []

    def once(seconds):
        left.append(seconds)
        if len(left) < 4:
            raise UnavailableError("not yet")
        return "answer"

    patience = Patience(deadline=30.0, retries=5)
    assert retrying(once, patience, sleep=waits.append) == "answer"
    for wait, most in zip(waits, (0.1, 0.2, 0.4), strict=True):
        assert most / 2 <= wait <= most
    assert all(0 < seconds <= 30 for seconds in left)


@pytest.mark.parametrize(
    ("error", "patience", "tries"),
    [
        (UnavailableError("gone"), Patience(deadline=30.0, retries=2), 3),
        (UnavailableError("gone"), Patience(deadline=0.01, retries=9), 1),
        (InvalidRequestError("bad"), Patience(), 1),
    ],
)
def test_what_will_not_help_is_not_tried_again(error, patience, tries):
    asked = []

    def once(seconds):
        asked.append(seconds)
        raise error

    with pytest.raises(type(error)):
        retrying(once, patience, sleep=lambda seconds: None)
    assert len(asked) == tries


class Halves:
    """A client whose answers are as long as the longest file of a request."""

    bytes_per_byte = 1.0
    message_bytes = 4_000_000

    def signatures(self):
        return {"serving_default": Signature({"audio_bytes": object}, {})}

    def predict(self, inputs, **named):
        lengths = [len(file) for file in inputs["audio_bytes"]]
        shape = (len(lengths), max(lengths))
        return {
            "frames": np.ones((*shape, 2), np.float32),
            "class_index": np.ones(shape, np.int64),
            "class_name": np.full(shape, b"a", object),
            "num_frames": np.array(lengths, np.int32),
        }


def test_answers_of_several_requests_are_padded_to_the_longest():
    found = encode_files(Halves(), [bytes(2), bytes(3)], max_files=1)
    assert found["num_frames"].tolist() == [2, 3]
    assert found["frames"].shape == (2, 3, 2)
    assert found["frames"][0, 2].tolist() == [0.0, 0.0]
    assert found["class_index"].tolist() == [[1, 1, -1], [1, 1, 1]]
    assert found["class_name"][0].tolist() == [b"a", b"a", b""]


def test_another_scheme_is_refused():
    with pytest.raises(ConfigError, match="ftp://host"):
        connect("ftp://host", "gim")


@pytest.mark.parametrize("said", ["<html>Starting</html>", "[1, 2]"])
def test_an_answer_that_is_no_object_says_so(said):
    def page(environ, start_response):
        return Response(said)(environ, start_response)

    with serving(page) as url:
        client = connect(url, "gim", patience=Patience(retries=0))
        with pytest.raises(UnavailableError, match="no JSON object"):
            client.signatures()


def test_a_load_test_that_cannot_begin_is_one_line(tmp_path, capsys):
    to = ["--url", "http://127.0.0.1:1", "--model", "gim"]
    assert load_test.main([*to, "--file", str(tmp_path / "none.png")]) == 2
    (tmp_path / "a.png").write_bytes(b"")
    assert load_test.main([*to, "--file", str(tmp_path / "a.png")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["load test"] * 2
    assert "none.png" in lines[0]
    assert "cannot be reached" in lines[1]


def test_an_answer_in_progress_is_waited_for():
    begun, go_on = threading.Event(), threading.Event()

    def slow(environ, start_response):
        begun.set()
        go_on.wait(30)
        return Response("all of it")(environ, start_response)

    answering = Answering(slow)
    assert answering.wait(0.0)
    with serving(answering) as url, ThreadPoolExecutor() as pool:
        answer = pool.submit(requests.get, url, timeout=30)
        assert begun.wait(30)
        assert not answering.wait(0.05)
        go_on.set()
        assert answering.wait(30)
        assert answer.result().text == "all of it"


@contextlib.contextmanager
def serving(application):
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
