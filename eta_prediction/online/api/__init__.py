"""HTTP around the stages: request and response documents, the map, batches and events."""
