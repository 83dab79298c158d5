# srn-serve with its weights inside:
#     docker build -t srn .
#     docker run --rm -p 127.0.0.1:8000:8000 srn
# On a GPU, with NVIDIA's container toolkit (its CUDA libraries come from PyPI):
#     docker build --build-arg EXTRAS=serve,gpu -t srn:gpu .
#     docker run --rm --gpus all -p 127.0.0.1:8000:8000 srn:gpu
FROM python:3.12.11-slim-bookworm AS build
ARG EXTRAS=serve
WORKDIR /build
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY srn_tf srn_tf
COPY checkpoints checkpoints
RUN python -m venv /opt/srn \
    && /opt/srn/bin/pip install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:3.12.11-slim-bookworm
RUN useradd --system --create-home --uid 10001 srn
COPY --from=build /opt/srn /opt/srn
ENV PATH=/opt/srn/bin:$PATH PYTHONUNBUFFERED=1
USER srn
WORKDIR /home/srn
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/health', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["srn-serve", "--host", "0.0.0.0"]
