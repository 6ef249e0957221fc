"""What is nearest: against a slow twin, in ties, and as a page."""

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from gim_tf.data.embeddings import Rows
from gim_tf.errors import DataError
from gim_tf.inspection.neighbor_page import (
    NeighborPage,
    agreement,
    label_name,
    render_neighbors,
)
from gim_tf.inspection.neighbors import Nearest, Neighbor, find_row, nearest
from gim_tf.inspection.thumbnails import Thumbnail, pixels, thumbnail
from tests.source_files import encode, noise


def parts(features, labels=None, size=7):
    """Rows in several parts, ids are positions."""
    count = len(features)
    labels = [-1] * count if labels is None else labels
    return [
        Rows(
            [str(index) for index in range(count)][at : at + size],
            [None] * len(labels[at : at + size]),
            labels[at : at + size],
            {"module_1": features[at : at + size]},
        )
        for at in range(0, count, size)
    ]


def slow_cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(
        sum(x * x for x in a) * sum(y * y for y in b)
    )


def test_the_nearest_are_those_of_a_slow_search():
    features = np.random.default_rng(0).normal(size=(50, 4)).astype("f")
    found = nearest(parts(features), "module_1", features[9], k=5, without="9")
    expected = sorted(
        (i for i in range(50) if i != 9),
        key=lambda i: -slow_cosine(features[9], features[i]),
    )
    assert [int(one.id) for one in found.found] == expected[:5]
    similarities = [one.similarity for one in found.found]
    slow = [slow_cosine(features[9], features[i]) for i in expected[:5]]
    np.testing.assert_allclose(similarities, slow, atol=1e-6)
    assert found.size == 49
    all_others = [
        slow_cosine(features[9], x) for x in np.delete(features, 9, 0)
    ]
    assert found.mean == pytest.approx(np.mean(all_others), abs=1e-6)


def test_ties_zeros_and_few_rows():
    features = np.array([[0, 0], [1, 0], [2, 0], [0, 1], [-1, 0]], "f")
    found = nearest(parts(features, size=2), "module_1", features[1], k=9)
    assert [one.id for one in found.found] == ["1", "2", "0", "3", "4"]
    assert [one.similarity for one in found.found] == [1, 1, 0, 0, -1]


def test_mistakes_of_a_search_are_named():
    rows = parts(np.ones((3, 2), "f"))
    with pytest.raises(DataError, match="at least 1 neighbour, received 0"):
        nearest(rows, "module_1", np.ones(2), k=0)
    with pytest.raises(DataError, match=r"shape \[2\], received \[3\]"):
        nearest(rows, "module_1", np.ones(3), k=1)


def test_a_row_is_found_by_its_id():
    features = np.arange(20, dtype="f").reshape(10, 2)
    row = find_row(parts(features, labels=list(range(10))), "8")
    assert (row.ids, row.labels) == (["8"], [8])
    np.testing.assert_array_equal(row.features["module_1"], features[8:9])
    assert find_row(parts(features), "10") is None


def test_agreement_is_against_the_share_of_all():
    found = [Neighbor(name, None, int(name), 0.5) for name in "112"]
    result = Nearest(found, 10, 0.1, Counter({1: 3, 2: 7}))
    assert agreement(Neighbor("q", None, 1, 1.0), result) == (2, 0.3)
    assert agreement(Neighbor("q", None, -1, 1.0), result) is None
    assert label_name(1, ("cat", "dog")) == "dog"
    assert (label_name(5, ("cat",)), label_name(-1, ())) == ("5", "")


def test_the_page_escapes_and_needs_no_other_file():
    picture = thumbnail(encode(noise(28, 28)))
    query = Neighbor("<q>", "test", 0, 1.0)
    found = [Neighbor("a&b", "test", 0, 0.9876), Neighbor("gone", None, 1, -1)]
    page = NeighborPage(
        query=query,
        module="module_2",
        channels=6,
        result=Nearest(found, 5, 0.5, Counter({0: 1, 1: 4})),
        class_names=("cat", "dog"),
        thumbnails={"<q>": picture, "a&b": picture, "gone": thumbnail(None)},
    )
    text = render_neighbors(page)
    assert "&lt;q&gt;" in text
    assert "<q>" not in text
    assert "a&amp;b" in text
    assert "not found in the source" in text
    assert "0.988" in text
    assert "width: 97.5%" in text
    assert "<b>1 of 2</b> neighbours share its label, cat" in text
    assert "20.0 % do" in text
    assert text.count("data:image/png;base64,") == 2
    assert "http" not in text
    assert render_neighbors(page) == text
    # All are alike: three digits would say 1.000 of most.
    alike = dataclasses.replace(page, result=page.result._replace(mean=0.998))
    assert "0.98760" in render_neighbors(alike)


def test_thumbnails_of_pictures_are_small_and_of_damage_none():
    small, large = encode(noise(28, 20)), encode(noise(400, 700, 3), "JPEG")
    assert thumbnail(small).crisp
    assert not thumbnail(large).crisp
    assert pixels(small, 32).shape == (32, 32, 3)
    assert pixels(small, 32)[2:30, 6:26, 0].std() > 30
    assert not pixels(small, 32)[:, :6].any()
    assert pixels(large, 48).std() > 10
    assert thumbnail(b"no picture") == Thumbnail(None, note="cannot be shown")
    assert not pixels(b"no picture", 8).any()


def test_thumbnails_of_recordings_can_be_heard():
    from gim_tf.data import pcm

    time = np.arange(5 * 16_000) / 16_000
    tone = np.rint(9000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)
    found = thumbnail(pcm.encode(tone, 16_000))
    assert found.note == "3 of 5.0 s"
    np.testing.assert_array_equal(pcm.decode(found.sound), tone)
    short = thumbnail(pcm.encode(tone[:8000], 16_000))
    assert short.note == "0.5 s"
    whole, half = (pixels(encode(_png(x)), 298) for x in (found, short))
    assert whole[:, -40:].max() > 200  # the tone goes on to the end
    assert half[:, -40:].max() < 60  # silence behind a shorter one
    assert thumbnail(pcm.encode(tone[:9], 16_000)).picture is None


def _png(found):
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(found.picture)))


@pytest.mark.integration
def test_embedded_images_are_searched_by_id_and_by_file(tmp_path):
    """2,000 of them, from records to a page, without Beam."""
    from gim_tf import config, experiments, jobs
    from gim_tf.data.items import open_items
    from gim_tf.export.embedder import Embedder
    from gim_tf.jobs import bulk_embedding
    from tests.conftest import TINY
    from tests.saved_models import write_untrained

    tiny = config.resolve(experiments.get("fashion_mnist_gim"), TINY)
    model, output = tmp_path / "model", tmp_path / "test.parquet"
    write_untrained(tiny, model)
    jobs.ingest(tiny, tmp_path / "records")
    job = bulk_embedding.plan(
        [tmp_path / "records"], model, output, split="test"
    )
    embedder = Embedder(model)
    for task in job.begin():
        bulk_embedding.embed_piece(embedder, task)
    assert job.finish().count == 2000
    page = tmp_path / "page.html"
    found = jobs.neighbors(output, "test-00003", k=5, page=page)
    assert found.module == "module_3"
    assert found.result.size == 1999
    assert "test-00003" not in {one.id for one in found.result.found}
    assert page.read_text().count("data:image/png;base64,") == 6
    records = open_items(tmp_path / "records", suffixes=(".png",))
    content = records.find(["test-00003"])["test-00003"].encoded
    (tmp_path / "shirt.png").write_bytes(content)
    by_file = jobs.neighbors(
        output, str(tmp_path / "shirt.png"), module="module_1", k=1
    )
    # The same picture is among them, and nothing is nearer.
    assert by_file.result.found[0].similarity == pytest.approx(1.0, abs=1e-6)
    (tmp_path / "records").rename(tmp_path / "moved")
    jobs.neighbors(output, "test-00003", k=5, page=page)
    assert page.read_text().count("not found in the source") == 6
    moved = tmp_path / "moved"
    jobs.neighbors(output, "test-00003", k=5, page=page, source=moved)
    assert page.read_text().count("data:image/png;base64,") == 6
    logs = tmp_path / "logs"
    assert jobs.project(output, logs, source=moved, limit=50) == 50
    lines = (logs / "projector" / "metadata.tsv").read_text().splitlines()
    assert lines[:2] == ["label\tsplit\tid", "ankle boot\ttest\ttest-00000"]
    assert lines[-1].endswith("test-01960")
    assert len((logs / "projector/module_2.tsv").read_text().split("\n")) == 51
    assert (logs / "projector" / "sprite.png").stat().st_size > 10_000
    with pytest.raises(DataError, match=r"neither an id .* nor a file"):
        jobs.neighbors(output, "test-99999")
    write_untrained(config.resolve(tiny, ["training.seed=1"]), model)
    with pytest.raises(DataError, match="is not the model that made these"):
        jobs.neighbors(output, str(tmp_path / "shirt.png"))
