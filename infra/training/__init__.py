"""Training code that all designs share: sharded batches, checkpoints, ONNX export and click metrics.

The package imports jax. Serving code does not import this package.
"""
