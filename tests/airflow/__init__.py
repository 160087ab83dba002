"""Tests of the DAGs with Airflow itself, in an environment of its own. `make airflow-test` runs them."""
