"""The health check of the scheduler's container: exit code 0 if its heartbeat in the database is fresh.

Airflow's own health server is one more process of 54 MB, and `airflow jobs check` imports all of Airflow at each check.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import psycopg2

URL = Path("/run/airflow/database-url")
FRESH = """
SELECT 1 FROM job
WHERE job_type = 'SchedulerJob' AND state = 'running' AND hostname = %s AND latest_heartbeat > now() - interval '30 s'
"""


def is_healthy() -> bool:
    address = URL.read_text().replace("+psycopg2", "", 1)
    with psycopg2.connect(address, connect_timeout=3) as server, server.cursor() as cursor:
        cursor.execute(FRESH, (socket.gethostname(),))
        return cursor.fetchone() is not None


if __name__ == "__main__":
    sys.exit(0 if is_healthy() else 1)
