"""Grafana dashboards as Python, one module each. `make dashboards` writes them to infra/deploy/grafana/dashboards."""
