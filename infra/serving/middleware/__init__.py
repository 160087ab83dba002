"""ASGI middleware that every service runs before its application: accounting, body limits, and the `Host` check."""
