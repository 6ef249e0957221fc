"""Which earlier model a new one is compared with."""

import pytest

pytestmark = pytest.mark.pipeline


def blessing(number, *, model, blessed=1, measured_on="here"):
    from tfx.components.evaluator import constants
    from tfx.types.standard_artifacts import ModelBlessing

    from pipelines.blessing import MEASURED_ON

    made = ModelBlessing()
    made.id = number
    made.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_BLESSED_KEY, blessed
    )
    made.set_int_custom_property(
        constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, model
    )
    if measured_on:
        made.set_string_custom_property(MEASURED_ON, measured_on)
    return made


def test_the_newest_comparable_one_of_another_model():
    from tfx.types.standard_artifacts import Model

    from pipelines.baseline import LatestOtherBlessedStrategy

    candidate = Model()
    candidate.id = 9
    found = LatestOtherBlessedStrategy(measured_on="here").resolve_artifacts(
        None,
        {
            "candidate": [candidate],
            "model_blessing": [
                blessing(1, model=1),
                blessing(3, model=3),
                blessing(2, model=2),
                blessing(4, model=4, blessed=0),
                blessing(5, model=5, measured_on="elsewhere"),
                blessing(6, model=6, measured_on=""),
                blessing(7, model=9),
            ],
        },
    )
    assert [b.id for b in found["model_blessing"]] == [3]
