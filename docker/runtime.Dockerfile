# The runtime image: one for leaders and workers, `radixloom serve` by default.
#
#   docker build -f docker/runtime.Dockerfile -t radixloom-runtime .                            CPU
#   docker build -f docker/runtime.Dockerfile -t radixloom-runtime --build-arg EXTRA=tpu .      TPU
#
# Over the base lie what requirements/ pins (large, changes seldom) and our own package (small,
# changes with each commit): a node that has the last image pulls a megabyte for the next.
#
# Where pip cannot reach an index, give it a folder of wheels instead (`make images` does):
#   --build-context wheels=FOLDER --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/wheels

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
ARG EXTRA=runtime
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY docker/requirements/${EXTRA}.txt /opt/radixloom/requirements.txt
# Byte code is compiled for all but transformers' models, of which a server imports one or two:
# a start with a read-only root could not keep what it compiles itself.
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv --without-pip /opt/radixloom \
 && /tools/bin/pip --python /opt/radixloom/bin/python install --no-compile \
      --no-cache-dir --no-deps --only-binary :all: --require-hashes \
      -r /opt/radixloom/requirements.txt \
 && find /opt/radixloom/lib -type d -name tests -prune -exec rm -r {} + \
 && python3 -m compileall -q -j 0 -x '/transformers/models/' /opt/radixloom/lib

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
    XDG_CACHE_HOME=/tmp/cache \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8000
ENTRYPOINT ["radixloom"]
CMD ["serve"]
