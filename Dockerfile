# Two images for the Python services of the lab. `serving` has what services and workers import. `lab` adds the packages
# of builds, checks, the MLflow server, the monitor and Locust to the same layers. The target `airflow` adds Airflow to
# `lab`, for the profile of that name; a build of the other two does not reach those stages.

FROM python:3.11-slim-bookworm AS tools
# Behind a company's proxy the base image holds its certificate; pip and uv bring lists of their own.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
COPY requirements/uv.txt /requirements/
RUN --mount=type=cache,target=/root/.cache \
    python -m venv /tools \
 && /tools/bin/pip install --quiet --disable-pip-version-check --require-hashes -r /requirements/uv.txt \
 && python -m venv --without-pip /opt/lab

FROM tools AS packages
COPY requirements/serving.txt requirements/routing.txt /requirements/
RUN --mount=type=cache,target=/root/.cache \
    /tools/bin/uv pip install --quiet --python /opt/lab/bin/python --link-mode copy --require-hashes \
    --compile-bytecode -r /requirements/serving.txt -r /requirements/routing.txt

FROM packages AS own
# The lab itself is only pointed to: its code is a layer of its own below, and a change there costs seconds.
COPY pyproject.toml README.md LICENSE /lab/
RUN mkdir -p /lab/infra /lab/feed_ranking /lab/ctr_prediction /lab/eta_prediction /lab/lab /lab/loadtests \
 && /tools/bin/uv pip install --quiet --python /opt/lab/bin/python --no-deps --no-build-isolation \
    --target /own/lib/python3.11/site-packages --editable /lab \
 && mv /own/lib/python3.11/site-packages/bin /own/bin

FROM python:3.11-slim-bookworm AS base
# libgomp is what FAISS and scikit-learn run their loops on; the slim image has none.
RUN if ! ldconfig -p | grep -q libgomp.so.1; then \
      apt-get update -qq && apt-get install -y -qq --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*; fi \
 && groupadd --gid 10001 lab && useradd --uid 10001 --gid lab --no-create-home --home-dir /tmp lab \
 && install -d -o lab -g lab /data /artifacts
COPY --from=packages /opt/lab /opt/lab
ENV PATH=/opt/lab/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MALLOC_ARENA_MAX=2 ARROW_DEFAULT_MEMORY_POOL=system \
    LAB_HOME=/data LAB_HOST=0.0.0.0
WORKDIR /lab
ENTRYPOINT ["lab"]
CMD ["--help"]

FROM base AS code
COPY pyproject.toml README.md LICENSE /lab/
COPY loadtests /lab/loadtests
COPY lab /lab/lab
COPY infra /lab/infra
COPY feed_ranking /lab/feed_ranking
COPY ctr_prediction /lab/ctr_prediction
COPY eta_prediction /lab/eta_prediction
RUN python -m compileall -q /lab

FROM base AS serving
COPY --from=own /own /opt/lab
COPY --from=code /lab /lab
USER lab

# Adds the packages of `requirements/lab.txt` that serving does not have, in a layer of their own.
FROM base AS lab
COPY requirements/lab.txt /requirements/
RUN --mount=type=bind,from=tools,source=/tools,target=/tools --mount=type=cache,target=/root/.cache \
    HOME=/root SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    /tools/bin/uv pip install --quiet --python /opt/lab/bin/python --link-mode copy --require-hashes \
    --compile-bytecode -r /requirements/lab.txt \
 && /tools/bin/uv pip uninstall --quiet --python /opt/lab/bin/python uv
COPY --from=own /own /opt/lab
COPY --from=code /lab /lab
USER lab

# Airflow has an environment of its own, since its packages do not fit the lab's. Its tasks call /opt/lab/bin/lab.
FROM tools AS airflow-packages
COPY requirements/airflow.txt /requirements/
RUN --mount=type=cache,target=/root/.cache \
    python -m venv --without-pip /opt/airflow \
 && /tools/bin/uv pip install --quiet --python /opt/airflow/bin/python --link-mode copy --require-hashes \
    --compile-bytecode -r /requirements/airflow.txt

FROM lab AS airflow
USER root
RUN install -d -o lab -g lab /airflow/logs
USER lab
COPY --from=airflow-packages /opt/airflow /opt/airflow
# The DAGs import lab.designs, which needs the standard library alone.
ENV PATH=/opt/airflow/bin:$PATH PYTHONPATH=/lab AIRFLOW_HOME=/tmp/airflow \
    AIRFLOW_CONFIG=/lab/infra/deploy/airflow/airflow.cfg
ENTRYPOINT ["airflow"]

# A build without a target ends here.
FROM lab
