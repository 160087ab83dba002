"""Build steps, from log to release: world → features → materialize → sample → train → index → release.

Offline and online code share data only through the registry, the feature store, the snapshot and the release file.
"""
