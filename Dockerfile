# PixelProof in a container. The commands are those of the README:
#   docker build -t pixelproof .
#   docker run --rm -it -v "$PWD/results:/pixelproof/experiments_data" pixelproof make demo
#   docker run --rm -it pixelproof make test
# With a GPU add --gpus all to `docker run`: PyPI's torch brings CUDA along. TORCH_INDEX is another index of wheels to take
# torch from, for example one of smaller CPU wheels: docker build --build-arg TORCH_INDEX=URL …
ARG PYTHON=3.11
FROM python:${PYTHON}-slim
ARG TORCH_INDEX=""
# make runs the README's commands; Chromium is for tests of pages
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends make chromium && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 pixelproof && install -d -o pixelproof /pixelproof
WORKDIR /pixelproof
USER 1000
COPY --chown=1000 . .
RUN python -m venv .venv \
    && if [ -n "$TORCH_INDEX" ]; then \
        .venv/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" -c constraints.txt torch torchvision; fi \
    && PIP_NO_CACHE_DIR=1 make .venv/.installed
CMD ["make", "demo"]
