"""Deadline, bulkhead and circuit breaker: they isolate a service from a slow or failed dependency."""
