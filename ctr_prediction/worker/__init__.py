"""What follows an event: rows for training, fresh features, fresh counts. A process of its own, beside the service."""
