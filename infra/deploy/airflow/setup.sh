#!/bin/sh
# Runs once before Airflow's API server and scheduler: database, tables, pool, DAGs. It may run any number of times.
set -eu
here=$(dirname "$0")
/opt/airflow/bin/python "$here/database.py"
airflow db migrate
airflow pools set training 1 "steps that train models: one at a time" > /dev/null
# No DAG processor runs: the DAGs change only with the image, so they are read once, here.
airflow dags reserialize
echo "airflow-setup: ready"
