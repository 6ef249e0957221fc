"""What holds for any input, tried on made ones.

Few examples here, always the same ones; `make fuzz` tries many more.
"""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from gim_tf import config, experiments
from gim_tf.data import alignments, patches, records
from gim_tf.data.records import Record
from gim_tf.errors import ConfigError
from gim_tf.losses.negatives import SAMPLERS
from gim_tf.stack import partition
from gim_tf.training.decoupled.division import divide
from tests import reference

# Not `st.characters`: to make its table of categories takes 10 s.
TEXTS = st.lists(
    st.integers(0, 0xD7FF) | st.integers(0xE000, 0x10FFFF), max_size=20
).map(lambda codes: "".join(map(chr, codes)))
LABELS = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.builds(
    Record,
    id=TEXTS,
    label=LABELS,
    split=TEXTS,
    encoded=st.binary(max_size=50),
    frame_labels=st.lists(LABELS, max_size=5).map(tuple),
)


@given(st.lists(RECORDS, min_size=1, max_size=4))
def test_records_survive_the_round_trip(made):
    parsed = records.parse(tf.constant([records.to_example(r) for r in made]))
    longest = max(len(record.frame_labels) for record in made)
    for index, record in enumerate(made):
        found = {key: value[index].numpy() for key, value in parsed.items()}
        assert found["id"].decode() == record.id
        assert found["split"].decode() == record.split
        assert found["encoded"] == record.encoded
        assert found["label"] == record.label
        padded = [*record.frame_labels, *[-1] * longest][:longest]
        assert found["frame_labels"].tolist() == padded


@st.composite
def cut_images(draw):
    size = draw(st.integers(1, 7))
    stride = draw(st.integers(1, size))
    shape = (draw(st.integers(size, 16)), draw(st.integers(1, 3)))
    return size, stride, shape


@given(cut_images())
def test_a_grid_of_patches_is_its_definition_and_goes_back(cut):
    size, stride, (side, channels) = cut
    image = np.arange(side * side * channels, dtype=np.float32)
    image = image.reshape(1, side, side, channels)
    grid = patches.to_patches(tf.constant(image), size=size, stride=stride)
    rows = (side - size) // stride + 1
    assert grid.shape == (1, rows, rows, size, size, channels)
    np.testing.assert_array_equal(
        grid[0], reference.patches(image[0], size, stride)
    )
    covered = (rows - 1) * stride + size
    np.testing.assert_array_equal(
        patches.from_patches(grid.numpy(), stride=stride),
        image[:, :covered, :covered],
    )


@given(
    kind=st.sampled_from(sorted(SAMPLERS)),
    grid=st.tuples(st.integers(1, 3), st.integers(3, 6), st.integers(1, 3)),
    offset=st.integers(1, 2),
    seed=st.integers(0, 2**31),
)
def test_negatives_are_rows_that_may_be_drawn(kind, grid, offset, seed):
    sampler = SAMPLERS[kind](3, seed=seed)
    drawn = sampler.draw(tf.constant(grid), None, (offset,))
    start, width = int(drawn.start), grid[1]
    (rows,) = (negatives.numpy() for negatives in drawn.negatives)
    assert rows.shape[:3] == (grid[0], width - offset, grid[2])
    for anchor in np.ndindex(rows.shape[:3]):
        allowed = reference.negative_candidates(
            kind, grid, start, width, offset, anchor
        )
        assert set(rows[anchor]) <= allowed


@given(
    seconds=st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=8),
    data=st.data(),
)
def test_no_division_of_modules_is_better(seconds, data):
    count = len(seconds)
    workers = data.draw(st.integers(1, count))
    found = divide(seconds, workers)
    assert sum(found.sizes) == count
    assert len(found.sizes) == workers
    assert min(found.sizes) >= 1
    best = min(
        max(
            math.fsum(seconds[a:b])
            for a, b in itertools.pairwise((0, *cuts, count))
        )
        for cuts in itertools.combinations(range(1, count), workers - 1)
    )
    # Differences of sums are rounded as the largest sum is.
    assert max(found.seconds) == pytest.approx(best, abs=1e-9 * sum(seconds))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6))
def test_a_partition_keeps_every_block_in_its_place(sizes):
    blocks = list(range(sum(sizes)))
    groups = partition(blocks, sizes)
    assert [len(group) for group in groups] == sizes
    assert list(itertools.chain.from_iterable(groups)) == blocks
    with pytest.raises(ValueError, match="sum to"):
        partition([*blocks, 0], sizes)


@given(st.integers(0, 10**6), st.integers(0, 3))
def test_labels_stand_inside_their_recording_or_are_refused(count, more):
    labels = max(0, 1 + (count - 400) // 160) + more
    if alignments.mismatch(count, labels):
        return
    centres = alignments.align(count, np.zeros(labels, np.int16)).centres
    assert len(centres) == labels
    assert (np.diff(centres) == 160).all()
    within = centres[: labels - more]
    assert (within < count).all()


def flat(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


NAMES = st.sampled_from(
    ["fashion_mnist_gim", "stl10_cpc", "librispeech_gim", "cifar10_predsim"]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.lists(st.integers(-2, 9), max_size=4),
    st.sampled_from([10**400, "a=b", "'", "((" * 99, float("nan")]),
)


@given(NAMES)
def test_any_experiment_survives_json(name):
    made = experiments.get(name)
    assert config.from_dict(config.to_dict(made)) == made


def resolved(base, word):
    try:
        return config.resolve(base, [word])
    except ConfigError as error:
        return error


@given(NAMES, st.data())
def test_any_setting_is_taken_or_refused_in_one_line(name, data):
    base = experiments.get(name)
    keys = sorted(key for key, _ in flat(config.to_dict(base)))
    key, value = data.draw(st.sampled_from(keys)), data.draw(VALUES)
    word = value if isinstance(value, str) else repr(value)
    made = resolved(base, f"{key}={word}")
    if isinstance(made, ConfigError):
        assert "\n" not in str(made)
        return
    assert config.from_dict(config.to_dict(made)) == made
    changed = config.differing_keys(*map(config.to_dict, (base, made)))
    words = config.overrides(base, made)
    assert {w.partition("=")[0] for w in words} <= set(changed)
    assert config.resolve(base, words) == made
