"""MLflow behind one port: log, register, alias and fetch models; SHA-256 manifests that verify their files."""
