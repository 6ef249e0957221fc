"""What invalidates what: parts of the experiment; and what is refused."""

import pytest

from gim_tf import config
from gim_tf.errors import ConfigError
from pipelines import parts, settings


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
    functions = (parts.data_part, parts.training_part, parts.probe_part)
    differing = [part(tiny) != part(other) for part in functions]
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
    assert parts.data_config(parts.data_part(tiny)) == tiny.data


@pytest.mark.parametrize(
    ("override", "comparable"),
    [
        ("training.learning_rate=0.5", True),
        ("stack.objective.num_negatives=3", True),
        ("data.path=elsewhere", True),
        ("data.test_split=other", False),
        ("data.holdout=0.5", False),
        ("probe.epochs=7", False),
    ],
)
def test_accuracies_compare_on_the_same_data_and_probe(
    tiny, override, comparable
):
    key = parts.measured_on(tiny, "data")
    other = parts.measured_on(changed(tiny, override), "data")
    assert (key == other) is comparable
    assert key != parts.measured_on(tiny, "other data")


@pytest.mark.parametrize(
    ("override", "comparable"),
    [
        ("stack.autoregressor.units=7", True),
        ("data.frame_labels=elsewhere/labels.txt", True),
        ("view.length=1920", False),  # a longer window tells more of a speaker
        ("probe.tasks=['speaker', 'phone']", False),
    ],
)
def test_accuracies_on_recordings_compare_for_the_same_windows(
    tiny_sequence, override, comparable
):
    key = parts.measured_on(tiny_sequence, "data")
    other = parts.measured_on(changed(tiny_sequence, override), "data")
    assert (key == other) is comparable


@pytest.mark.parametrize(
    "flag",
    [
        "--password=x",
        "--api_key=x",
        "--accessToken=x",
        "--connection_string=x",
        "--private_key=x",
        "--sas=x",
        "--proxy=http://user:x@host",
        "http://user:x@host",
        "sas-x",
    ],
)
def test_P8_secrets_are_refused_and_not_repeated(flag):
    with pytest.raises(ConfigError) as caught:
        settings.Options(beam_args=(flag,))
    assert "=x" not in str(caught.value)
    assert "user" not in str(caught.value)
    assert "sas-x" not in str(caught.value)


def test_plain_flags_are_taken():
    flags = (
        "--runner=DirectRunner",
        "--temp_location=gs://b/a:c@d",
        "--grasas=1",
    )
    assert settings.Options(beam_args=flags).beam_args == flags
