"""Events behind one port: produce without blocking, consume with effects that happen once, dead letters, replay."""
