"""Finds the newest blessed model that is not the candidate itself.

TFX's LatestBlessedModelStrategy also finds the candidate when a pipeline is
run again, so that a repeated run would be judged anew instead of cached.
"""

import ml_metadata as mlmd
from tfx import types
from tfx.components.evaluator.constants import (
    ARTIFACT_PROPERTY_BLESSED_KEY,
    ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
)
from tfx.dsl.components.common import resolver

Artifacts = dict[str, list[types.Artifact]]


class LatestOtherBlessedStrategy(resolver.ResolverStrategy):
    """Resolves `model_blessing` to the newest one of another model.

    The other keys are resolved to nothing: they are there to be compared.
    """

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
            and blessing.get_int_custom_property(
                ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
            )
            not in candidates
        ]
        newest = sorted(others, key=lambda blessing: blessing.id)[-1:]
        return {"candidate": [], "model_blessing": newest}
