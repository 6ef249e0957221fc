"""Artifact types of this pipeline, beside those that TFX has."""

from tfx.types import artifact


class DataReport(artifact.Artifact):
    """Counts, label frequencies and rejected examples: `data.json`."""

    TYPE_NAME = "pipelines.DataReport"


class ProbeReport(artifact.Artifact):
    """Probe results of all modules and their controls: `probes.json`."""

    TYPE_NAME = "pipelines.ProbeReport"


class RunReport(artifact.Artifact):
    """What a run trained, reached and pushed: `summary.json`, `report.html`."""

    TYPE_NAME = "pipelines.RunReport"
