"""Views and patches: exact, and the same eagerly, in tf.data and in graphs."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gim_tf import experiments
from gim_tf.data import patches, views
from tests import reference

VIEW = experiments.get("fashion_mnist_gim").view
STL10 = experiments.get("stl10_gim").view


def encoded(pixels, kind="PNG", mode=None):
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, kind)
    return buffer.getvalue()


def test_luma_equals_the_imaging_library_s():
    colours = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(views.to_luma(colours)[..., 0], expected)


def test_decoding_a_grey_picture_of_the_right_size_is_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    decoded = views.decode(tf.constant(encoded(pixels)), VIEW)
    np.testing.assert_array_equal(decoded[..., 0], pixels)
    batch = views.decode_batch(tf.constant([encoded(pixels)] * 2), VIEW)
    np.testing.assert_array_equal(batch[1], decoded)


@pytest.mark.parametrize("shape", [(1, 1), (40, 28), (29, 200), (5, 9)])
def test_pictures_of_other_sizes_are_scaled_and_centred(shape):
    pixels = np.full(shape, 77, np.uint8)
    decoded = views.decode(tf.constant(encoded(pixels)), VIEW)
    assert decoded.shape == (28, 28, 1)
    np.testing.assert_allclose(decoded, 77.0, atol=1e-3)


def test_a_training_view_is_a_crop_of_the_padded_picture_or_its_mirror():
    picture = tf.random.stateless_uniform((28, 28, 1), (0, 1), 1, 255)
    padded = np.pad(picture.numpy(), [(4, 4), (4, 4), (0, 0)])
    normal = (padded / 255.0 - VIEW.mean[0]) / VIEW.std[0]
    crops = [normal[y : y + 32, x : x + 32] for y in range(5) for x in range(5)]
    seen, mirrored = set(), 0
    for seed in range(60):
        view = views.training_view(picture, tf.constant([seed, 5]), VIEW)
        for flip in (False, True):
            candidate = view.numpy()[:, ::-1] if flip else view.numpy()
            for index, crop in enumerate(crops):
                if np.allclose(candidate, crop, atol=1e-5):
                    seen.add(index)
                    mirrored += flip
    assert len(seen) > 15
    assert 15 < mirrored < 45


def test_a_view_depends_on_its_seed_alone():
    picture = tf.random.stateless_uniform((28, 28, 1), (0, 1), 0, 255)
    seed = tf.constant([3, 4], tf.int64)
    eager = views.training_view(picture, seed, VIEW)
    mapped = tf.data.Dataset.from_tensors((picture, seed)).map(
        lambda p, s: views.training_view(p, s, VIEW)
    )
    np.testing.assert_allclose(eager, next(iter(mapped)), atol=1e-6)
    other = views.training_view(picture, seed + 1, VIEW)
    assert np.any(eager.numpy() != other.numpy())


def test_the_evaluation_view_is_the_centre():
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 1))
    view = views.evaluation_view(tf.constant(pictures, tf.float32), STL10)
    expected = (pictures[:, 16:80, 16:80] / 255 - 0.4120) / 0.2570
    np.testing.assert_allclose(view, expected, atol=1e-5)
    back = views.denormalise(view, STL10)
    np.testing.assert_array_equal(back, np.round(pictures[:, 16:80, 16:80]))


@pytest.mark.parametrize(("size", "stride"), [(8, 4), (16, 8), (5, 3), (4, 4)])
def test_patches_equal_their_definition_and_back(size, stride):
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    images = images.astype(np.float32)
    grid = patches.to_patches(tf.constant(images), size=size, stride=stride)
    for image, found in zip(images, grid.numpy(), strict=True):
        np.testing.assert_array_equal(
            found, reference.patches(image, size, stride)
        )
    back = patches.from_patches(grid.numpy(), stride=stride)
    side = (grid.shape[1] - 1) * stride + size
    np.testing.assert_array_equal(back, images[:, :side, :side])


def test_both_recipes_give_the_paper_s_seven_by_seven_grid():
    for name in ("fashion_mnist_gim", "stl10_gim"):
        view = experiments.get(name).view
        blank = tf.zeros((1, view.size, view.size, view.channels))
        grid = patches.to_patches(
            views.evaluation_view(blank, view),
            size=view.patch_size,
            stride=view.patch_stride,
        )
        assert grid.shape[1:3] == (7, 7)
        assert view.grid_side == 7


def test_colour_views_keep_their_channels():
    view = dataclasses.replace(
        VIEW, channels=3, mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0)
    )
    colour = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    decoded = views.decode(tf.constant(encoded(colour)), view)
    np.testing.assert_array_equal(decoded, colour)
    shown = views.evaluation_view(decoded, view)
    np.testing.assert_allclose(
        shown[2:-2, 2:-2], colour / 255.0 - [0.1, 0.2, 0.3], atol=1e-6
    )
