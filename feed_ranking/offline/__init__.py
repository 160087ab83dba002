"""From log to release: world → features → materialize → train → evaluate → index → release.

Meets the online wing only through the registry, the feature store, the index and the release file.
"""
