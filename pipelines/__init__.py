"""The TFX pipeline: the only package that imports TFX, Beam or Kubeflow.

Artifact types are reachable as `pipelines.ProbeReport`, and so on: Kubeflow
finds a custom type again by its TYPE_NAME, which must be an importable path
with a single dot. They load on first use, since importing TFX takes long.
"""

from typing import Any

_ARTIFACTS = ("DataReport", "ProbeReport", "RunReport")


def __getattr__(name: str) -> Any:
    if name not in _ARTIFACTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipelines import artifacts

    return getattr(artifacts, name)
