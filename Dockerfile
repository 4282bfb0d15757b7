# Gatepost as one container: docker build -t gatepost .
# Two stages: wheels are installed with hashes in the first, where the row path is compiled too; the
# second has no compiler and no pip.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN apt-get update && apt-get install --yes --no-install-recommends binutils gcc libc6-dev
RUN python -m venv /opt/gatepost
COPY constraints/run.txt /src/constraints/run.txt
RUN /opt/gatepost/bin/pip install --require-hashes --only-binary :all: -r /src/constraints/run.txt
COPY pyproject.toml README.md LICENSE /src/
COPY appliance /src/appliance
COPY proxy /src/proxy
COPY web /src/web
COPY migrations /src/migrations
RUN /opt/gatepost/bin/pip install --no-deps /src \
    && /opt/gatepost/bin/pip uninstall --yes pip \
    && find /opt/gatepost -name tests -type d -path '*/gevent/*' -prune -exec rm -rf {} + \
    && find /opt/gatepost -name '*.so' -exec strip --strip-unneeded {} + \
    && /opt/gatepost/bin/python -c 'import appliance.masking._rows, appliance.masking._copy_rows'

FROM python:3.13-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/gatepost --shell /usr/sbin/nologin gatepost \
    && install --directory --owner gatepost --group gatepost --mode 0700 /var/lib/gatepost
COPY --from=build /opt/gatepost /opt/gatepost
ENV PATH=/opt/gatepost/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GATEPOST_DATA_DIR=/var/lib/gatepost \
    GATEPOST_PROXY_LISTEN=0.0.0.0:5432 \
    GATEPOST_WEB_LISTEN=0.0.0.0:8080 \
    GATEPOST_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/gatepost
VOLUME /var/lib/gatepost
EXPOSE 5432 8080
# Binding 5432 needs no privilege inside a container: it is above 1024.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "appliance.healthcheck"]
# serve drains on SIGTERM: give it longer than its own 30 s (docker stop --time 40).
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--", "gatepost"]
CMD ["serve"]
