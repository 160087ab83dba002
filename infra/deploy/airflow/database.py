"""Creates Airflow's role and database in the PostgreSQL server of the stack. Runs in Airflow's environment.

The password is set at each start, so a new secret is valid at once. Running this again changes nothing else.
"""

from __future__ import annotations

from pathlib import Path

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

ADMIN, ADMIN_PASSWORD = "mlflow", Path("/run/postgres/password")
URL = Path("/run/airflow/database-url")


def main() -> None:
    wanted = make_url(URL.read_text().strip())
    server = psycopg2.connect(
        host=wanted.host, port=wanted.port, user=ADMIN, password=ADMIN_PASSWORD.read_text(), dbname=ADMIN
    )
    server.autocommit = True  # CREATE DATABASE runs outside of a transaction
    with server.cursor() as cursor:
        role, database = sql.Identifier(wanted.username), sql.Identifier(wanted.database)
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (wanted.username,))
        if not cursor.fetchone():
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(wanted.password)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (wanted.database,))
        if not cursor.fetchone():
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    server.close()


if __name__ == "__main__":
    main()
