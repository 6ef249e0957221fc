# The container of every pipeline component and of the training job.
#
#   make image PYTHON_DIGEST=sha256:...     # or: gcloud builds submit, see docs/cloud.md
#
# The base is pinned by its digest, which has no default: look it up, and look
# again when Python or Debian get a fix. CUDA=1 adds CUDA for accelerators.
# What changes most often is copied last.
ARG PYTHON_DIGEST

FROM python:3.10-slim-bookworm@${PYTHON_DIGEST} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/gim
ENV PATH=/opt/gim/bin:$PATH
WORKDIR /src
COPY requirements.txt requirements-cuda.txt ./
# A complete lock, so no resolver; what only checks the code stays out.
RUN grep -vE '^(hypothesis|import-linter|mypy|pytest|pytest-xdist|ruff|uv)==' \
        requirements.txt > image.txt \
    && pip install --no-cache-dir --no-deps --requirement image.txt
ARG CUDA=
RUN test -z "$CUDA" \
    || pip install --no-cache-dir --no-deps --requirement requirements-cuda.txt
COPY pyproject.toml README.md LICENSE ./
COPY gim_tf gim_tf
COPY pipelines pipelines
COPY serving serving
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && pip check

FROM python:3.10-slim-bookworm@${PYTHON_DIGEST}
COPY --from=build /opt/gim /opt/gim
ENV PATH=/opt/gim/bin:$PATH PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=1
RUN useradd --uid 10001 --create-home gim
USER 10001
WORKDIR /home/gim
# TFX's own: Vertex AI gives each component its arguments.
ENTRYPOINT ["python", "-m", "tfx.scripts.run_executor"]
