"""A picture means the same to ingest, to training and to a served encoder."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gim_tf import build, config, experiments, jobs
from gim_tf.data.input_pipeline import evaluation_batches
from gim_tf.data.records import record_files
from gim_tf.data.sources.verify import as_stored, verified
from gim_tf.export.embedder import Embedder
from gim_tf.export.saved_model import load_encoder, save_encoder
from tests.conftest import TINY
from tests.saved_models import assert_tf1_loader_agrees
from tests.source_files import encode, put

pytestmark = pytest.mark.integration

COLOUR = (
    "view.channels=3",
    "view.mean=[0.4, 0.5, 0.6]",
    "view.std=[0.3, 0.3, 0.3]",
)
CLASSES = ("even", "odd")
SHAPES = ((1, 1), (28, 28), (29, 45), (61, 17))  # pixels, height and width
REFUSAL = "Expected a PNG, or a JPEG that is gray or RGB"


def drawn(height, width):
    """Slopes in three colours: a JPEG keeps them."""
    y, x = np.mgrid[:height, :width]
    planes = (x * 255 // width, y * 255 // height, (x + 2 * y) % 256)
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8))


def kept():
    """By name: files that ingest stores as they are."""
    found = {}
    for shape in SHAPES:
        colour = drawn(*shape)
        gray = colour.convert("L")
        for name, picture in (("colour", colour), ("gray", gray)):
            for kind in ("PNG", "JPEG"):
                key = f"{name} {shape[0]}x{shape[1]}.{kind.lower()}"
                found[key] = encode(picture, kind)
    colour = drawn(29, 45)
    found["palette.png"] = encode(colour.quantize(16))
    found["alpha.png"] = encode(colour.convert("RGBA"))
    return found


def converted():
    """By name: files that ingest writes as PNG; all have a decoder here.

    TensorFlow's own gives other pixels of those with a palette.
    """
    colour = drawn(29, 45)
    palette = colour.quantize(16)
    return {
        "cmyk.jpeg": encode(colour.convert("CMYK"), "JPEG"),
        "colour.bmp": encode(colour, "BMP"),
        "palette.bmp": encode(palette, "BMP"),
        "bits.bmp": encode(colour.convert("1"), "BMP"),
        "palette.gif": encode(palette, "GIF"),
        "hole.gif": encode(palette, "GIF", transparency=3),
    }


class Model(NamedTuple):
    """An export, loaded twice, and features of all files as a probe reads."""

    directory: Path
    encode: Callable
    embed: Embedder
    expected: dict


@pytest.fixture(scope="module", params=["gray", "colour"])
def model(request, tmp_path_factory):
    """Of pictures in one channel, and in three."""
    folder = tmp_path_factory.mktemp(request.param)
    files = {**kept(), **converted()}
    for split in ("train", "test"):
        for index, (name, content) in enumerate(files.items()):
            place = folder / "source" / split / CLASSES[index % 2]
            put(place / name, content)
    colour = COLOUR if request.param == "colour" else ()
    experiment = config.resolve(
        experiments.get("fashion_mnist_gim"),
        [
            *(*TINY, *colour, "data.source=folder", "data.min_examples=1"),
            f"data.path={folder / 'source'}",
            'data.class_names=["even", "odd"]',
        ],
    )
    jobs.ingest(experiment, folder / "records")
    stack = build.build_stack(experiment)
    encoder, _ = jobs.exporting._of_examples(experiment, stack)
    save_encoder(encoder, folder / "model", {"experiment": None})
    return Model(
        folder / "model",
        load_encoder(folder / "model").signatures["serving_default"],
        Embedder(folder / "model"),
        read_as_a_probe(experiment, stack, folder),
    )


def read_as_a_probe(experiment, stack, folder):
    """Features by name of the file, of its record, without the export."""
    files = record_files(folder / "records", "test")
    names = [
        tf.train.Example.FromString(one.numpy())
        .features.feature["id"]
        .bytes_list.value[0]
        .decode()
        .rpartition("/")[2]
        for one in tf.data.TFRecordDataset(files, "GZIP")
    ]
    decode = build.build_decode_one(experiment)
    to_grid = build.build_preprocess(experiment).to_grid
    parts = [
        stack(to_grid(examples))
        for examples, _ in evaluation_batches(files, decode, 8)
    ]
    features = {
        key: np.concatenate([part[key] for part in parts]) for key in parts[0]
    }
    assert len(names) == len(kept()) + len(converted())
    return {
        name: {key: value[index] for key, value in features.items()}
        for index, name in enumerate(names)
    }


def differing(found, expected, names):
    """(file, module) of which the features are more than 1e-5 apart."""
    return [
        (name, key)
        for index, name in enumerate(names)
        for key, value in expected[name].items()
        if not np.allclose(found[key][index], value, rtol=0, atol=1e-5)
    ]


def test_S6_a_served_picture_has_the_features_of_its_record(model, injected):
    names, files = zip(*kept().items(), strict=True)
    found = model.encode(image_bytes=tf.constant(files))
    assert set(found) == {"module_1", "module_2", "module_3"}
    assert all(np.ptp(value, axis=0).max() > 1e-3 for value in found.values())
    injected(len(names), differing(found, model.expected, names))


def test_S6_what_ingest_converts_is_refused_by_the_server(model, injected):
    good = kept()["gray 28x28.png"]
    for file in converted().values():
        with pytest.raises(tf.errors.InvalidArgumentError, match=REFUSAL):
            model.encode(image_bytes=tf.constant([good, file, good]))
    injected(len(converted()), [])


def test_S6_and_converted_by_gim_embed_as_by_ingest(model, injected):
    files = {**kept(), **converted()}
    found = model.embed(list(files.items()))
    assert found.rejected == []
    wrong = differing(found.features, model.expected, list(files))
    injected(len(files), wrong)


def test_of_an_animated_png_the_server_takes_the_first_picture(model):
    """A limit: the graph cannot tell it; ingest and gim embed refuse it."""
    first, second = drawn(29, 45), drawn(29, 45).rotate(180)
    moving = encode(first, save_all=True, append_images=[second])
    found = model.encode(image_bytes=tf.constant([moving, encode(first)]))
    for value in found.values():
        np.testing.assert_allclose(value[0], value[1], atol=1e-6)
    (rejected,) = model.embed([("moving.png", moving)]).rejected
    assert rejected.reason == "2 frames, expected one"


@pytest.mark.parametrize("model", ["gray"], indirect=True)
def test_the_tf1_style_loader_decodes_and_refuses_alike(model):
    signatures = {"serving_default": model.encode}
    same = {"image_bytes": list(kept().values())}
    assert_tf1_loader_agrees(model.directory, signatures, same)
    refused = {"image_bytes": [converted()["palette.bmp"]]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=REFUSAL):
        assert_tf1_loader_agrees(model.directory, signatures, refused)


def test_what_is_stored_is_known_without_decoding():
    for file in kept().values():
        assert as_stored(file) is file
    for file in converted().values():
        assert as_stored(file) == verified(file) != file
