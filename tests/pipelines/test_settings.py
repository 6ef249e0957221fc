"""What invalidates what: parts of the experiment and hashes of sources."""

import pytest

from gim_tf import config
from gim_tf.errors import ConfigError
from pipelines import settings


def changed(tiny, override):
    return config.resolve(tiny, [override])


@pytest.mark.parametrize(
    ("override", "records", "weights", "probes"),
    [
        ("training.learning_rate=0.5", False, True, True),
        ("probe.epochs=7", False, False, True),
        ("blessing.margin=0.5", False, False, False),
        ("data.max_bad=3", False, False, False),
        ("data.holdout=0.5", True, True, True),
    ],
)
def test_each_part_holds_what_it_depends_on(
    tiny, override, records, weights, probes
):
    other = changed(tiny, override)
    parts = (settings.data_part, settings.training_part, settings.probe_part)
    differing = [part(tiny) != part(other) for part in parts]
    assert differing == [records, weights, probes]


def test_checkpoints_are_kept_apart_by_settings_and_data(tiny):
    other = changed(tiny, "training.seed=1")
    names = {
        settings.training_run(tiny, "data"),
        settings.training_run(other, "data"),
        settings.training_run(tiny, "other data"),
    }
    assert len(names) == 3
    longer = changed(tiny, "blessing.margin=0.5")
    assert settings.training_run(longer, "data") in names


def test_data_part_is_json_of_the_data_config(tiny):
    assert settings.data_config(settings.data_part(tiny)) == tiny.data


@pytest.mark.parametrize(
    "names",
    [
        value
        for name, value in vars(settings).items()
        if name.endswith("_SOURCES")
    ],
)
def test_every_named_source_exists(names):
    for name in names:
        assert settings.source_hash((name,)) != settings.source_hash(())


@pytest.mark.parametrize(
    "flag", ["--password=x", "--api_key=x", "--accessToken=x"]
)
def test_secrets_are_refused_and_not_repeated(flag):
    with pytest.raises(ConfigError) as caught:
        settings.Options(beam_args=(flag,))
    assert "=x" not in str(caught.value)
