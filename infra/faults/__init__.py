"""Injectable faults, and the wrappers that apply them to a port. Business code has no fault-injection branches."""
