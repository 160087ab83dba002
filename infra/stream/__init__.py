"""Kafka behind one port: non-blocking producer, consumer with exactly-once effects, dead letters, replay."""
