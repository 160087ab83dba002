#!/bin/sh
# Starts Airflow's API server, which serves the page too. It opens the file of passwords for writing, so it gets a copy.
set -eu
umask 077
cat /run/airflow/passwords.json > /run/airflow-users/passwords.json
exec airflow api-server --host 0.0.0.0 --port 8080
