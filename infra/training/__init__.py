"""What all trainings share: batches over devices, checkpoints, the way out to ONNX, measures of clicks.

Imports jax; serving imports nothing of it.
"""
