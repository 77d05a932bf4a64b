# The exchange in a container. All packages are wheels, so neither stage needs a compiler.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
COPY requirements.txt /
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /requirements.txt

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
# A numeric user id, so that an orchestrator can see that it is not root.
RUN groupadd --gid 10001 exchange \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin exchange \
    && install --directory --owner 10001 --group 10001 --mode 700 /data /sockets
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY exchange_site exchange_site
COPY back_office back_office
COPY gateway gateway
COPY benchmarks benchmarks
COPY simulator simulator
COPY matching matching
COPY ledger ledger
COPY settlement settlement
COPY templates templates
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA_DIR=/data \
    XDG_CACHE_HOME=/data/cache
USER 10001:10001
# A new volume gets the owner of the folder where it is mounted.
VOLUME ["/data", "/sockets"]
CMD ["gunicorn", "--config", "exchange_site/gunicorn_conf.py", "exchange_site.asgi"]
