"""MLflow behind one port: log, register, alias, fetch; and the manifest that makes bytes trustworthy."""
