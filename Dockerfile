# One image for the head and all workers of a Ray cluster.
#
#   docker build -t reelyard:0.1.0-ray2.60.0 .
#   docker build -t reelyard:0.1.0-ray2.60.0-cpu --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
#
# The tag names Ray's version: rayVersion in k8s/ and the pin in constraints.txt say the same (a test holds it).
# Layers go from what changes rarely to what changes often: user, torch, other packages, code.
# Torch brings its own CUDA, so a plain Python is base enough. No model files, no secrets.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# What is installed, taken from pyproject.toml; a new version number alone leaves these files, and the layers
# made from them, as they are.
# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS requirements
# Extras of pyproject.toml, apart by spaces: `gcs`, `azure`.
ARG EXTRAS=""
WORKDIR /requirements
COPY pyproject.toml constraints.txt ./
RUN python3 -c "import os, pathlib, tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
names = project['dependencies'] + sum((project['optional-dependencies'][e] for e in os.environ['EXTRAS'].split()), []); \
torch = [n for n in names if n.startswith('torch')]; \
pathlib.Path('torch.txt').write_text('\n'.join(torch)); \
pathlib.Path('others.txt').write_text('\n'.join(n for n in names if n not in torch))" \
    && rm pyproject.toml

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS wheel
WORKDIR /source
RUN python3 -m venv /build && /build/bin/pip install --no-cache-dir setuptools==84.2.1
COPY pyproject.toml README.md LICENSE NOTICE reelyard.py ./
COPY tasks tasks
COPY pipeline pipeline
COPY cluster cluster
RUN /build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title=reelyard \
      org.opencontainers.image.source=https://github.com/reelyard/reelyard \
      org.opencontainers.image.licenses=Apache-2.0
RUN { getent passwd 1000 || useradd --uid 1000 --user-group --create-home --shell /bin/bash reelyard; } \
    && install --directory --owner=1000 --group=1000 /home/reelyard \
    && python3 -m venv /opt/reelyard
ENV PATH=/opt/reelyard/bin:$PATH \
    HOME=/home/reelyard \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,video,utility
# Another index for pip, for example the one with torch for CPUs.
ARG PIP_EXTRA_INDEX_URL=""
COPY --from=requirements /requirements/constraints.txt /requirements/torch.txt /opt/reelyard/
RUN pip install --no-cache-dir --constraint /opt/reelyard/constraints.txt --requirement /opt/reelyard/torch.txt
COPY --from=requirements /requirements/others.txt /opt/reelyard/
RUN pip install --no-cache-dir --constraint /opt/reelyard/constraints.txt --requirement /opt/reelyard/others.txt
COPY --from=wheel /wheels /opt/reelyard/wheels
RUN pip install --no-cache-dir --no-deps --no-index /opt/reelyard/wheels/*.whl \
    && pip check \
    && ray --version \
    && reelyard --help > /dev/null
USER 1000:1000
WORKDIR /home/reelyard
# No entry point: KubeRay starts `ray start` through bash.
CMD ["reelyard", "--help"]
