"""Where Vertex AI mounts buckets in the containers that it starts."""

MOUNT = "/gcs"


def mounted(path: str) -> str:
    """`gs://bucket/x` as /gcs/bucket/x; other paths stay as they are."""
    scheme, found, rest = path.partition("://")
    return f"{MOUNT}/{rest}" if found and scheme == "gs" else path
