"""The online candidate pipeline: its stages, their execution order, and the trace of each request."""
