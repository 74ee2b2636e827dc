# One image for the API, the migration and the workers. CPU by default; for NVIDIA GPUs build with
#   --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# Behind a mirror: pip's own settings, read from the environment, e.g. --build-arg PIP_INDEX_URL=https://mirror/simple
ARG PIP_INDEX_URL
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# torch first, from the index that decides between CPU and CUDA; the layer stays valid while only the code changes.
RUN pip install --no-cache-dir --index-url "${TORCH_INDEX}" "torch>=2.10,<2.14"
WORKDIR /srv/xtalforge
COPY pyproject.toml README.md LICENSE ./
RUN mkdir app workers migrations \
    && touch app/__init__.py workers/__init__.py \
    && pip install --no-cache-dir --editable .
COPY app app
COPY workers workers
COPY migrations migrations
COPY models_store models_store
RUN python -m compileall -q app workers migrations

FROM python:${PYTHON_VERSION}-slim
RUN useradd --uid 10001 --home-dir /data --no-create-home --no-log-init --shell /usr/sbin/nologin xtalforge \
    && mkdir /data \
    && chown xtalforge /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/xtalforge /srv/xtalforge
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XTALFORGE_DATA_DIR=/data \
    XTALFORGE_HOST=0.0.0.0 \
    XTALFORGE_LOG_FORMAT=json \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    MALLOC_ARENA_MAX=2
WORKDIR /srv/xtalforge
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["uvicorn", "app.main:app", "--host", "0.0.0.0", "--port", "8000", "--loop", "uvloop", "--http", "app.web.connections:BoundedProtocol", "--no-access-log", "--proxy-headers", "--log-config", "app/core/uvicorn_logging.json", "--timeout-graceful-shutdown", "20", "--timeout-keep-alive", "75"]
