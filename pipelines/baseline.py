"""Finds the newest blessed model that the candidate can be compared with.

TFX's LatestBlessedModelStrategy also finds the candidate when a pipeline is
run again, so that a repeated run would be judged anew instead of cached; and
models that were measured on other data.
"""

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator.constants import (
    ARTIFACT_PROPERTY_BLESSED_KEY,
    ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
)
from tfx.dsl.components.common import resolver

from pipelines.blessing import MEASURED_ON

Artifacts = dict[str, list[types.Artifact]]


class LatestOtherBlessedStrategy(resolver.ResolverStrategy):
    """Resolves `model_blessing` to the newest one of another model.

    The other keys are resolved to nothing: they are there to be compared.

    Args:
      measured_on: what the blessing's accuracy must have been measured on.
    """

    def __init__(self, measured_on: str) -> None:
        self._measured_on = measured_on

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: Artifacts
    ) -> Artifacts:
        """See `ResolverStrategy`; takes `candidate` and `model_blessing`."""
        del store
        candidates = {model.id for model in input_dict["candidate"]}
        others = [
            blessing
            for blessing in input_dict["model_blessing"]
            if blessing.get_int_custom_property(ARTIFACT_PROPERTY_BLESSED_KEY)
            and blessing.get_string_custom_property(MEASURED_ON)
            == self._measured_on
            and blessing.get_int_custom_property(
                ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            )
            not in candidates
        ]
        newest = sorted(others, key=lambda blessing: blessing.id)[-1:]
        return {"candidate": [], "model_blessing": newest}
