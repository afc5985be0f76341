# The operator image: `radixloom-operator run`, without jax.
#
#   docker build -f docker/operator.Dockerfile -t radixloom-operator .
#
# Stages and their reasons are those of runtime.Dockerfile; the two differ in what they install and
# in what they start.

# Debian bookworm with Python 3.11 and its venv module: what requirements/ is resolved for.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM scratch AS wheels

FROM ${BASE_IMAGE} AS tools
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY docker/requirements/build.txt /tools/requirements.txt
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv /tools \
 && /tools/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes \
      -r /tools/requirements.txt

FROM tools AS dependencies
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY docker/requirements/operator.txt /opt/radixloom/requirements.txt
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv --without-pip /opt/radixloom \
 && /tools/bin/pip --python /opt/radixloom/bin/python install --no-compile \
      --no-cache-dir --no-deps --only-binary :all: --require-hashes \
      -r /opt/radixloom/requirements.txt \
 && find /opt/radixloom/lib -type d -name tests -prune -exec rm -r {} + \
 && python3 -m compileall -q -j 0 /opt/radixloom/lib

FROM tools AS package
COPY pyproject.toml README.md LICENSE /source/
COPY operator /source/operator
COPY runtime /source/runtime
RUN python3 -m venv --without-pip /opt/radixloom \
 && /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist /source \
 && /tools/bin/pip --python /opt/radixloom/bin/python install --no-deps --no-index /dist/*.whl

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/radixloom /opt/radixloom
COPY --from=package /opt/radixloom /opt/radixloom

# The root file system may be read-only: all that is written goes under /tmp, a volume of the pod.
# USER, since the pod's user id may be any, and libraries ask for a name.
ENV PATH=/opt/radixloom/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    USER=radixloom \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["radixloom-operator"]
CMD ["run"]
