"""Hours of live traffic in seconds: a service and its worker in this process, on a world clock that jumps."""
