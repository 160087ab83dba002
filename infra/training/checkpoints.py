"""Checkpoints of the newest complete epoch of one training. Orbax writes a temporary directory and renames it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp


class Checkpoints:
    """Saves and restores checkpoints. Use as a context manager. Without a directory, nothing is saved."""

    def __init__(self, directory: Path | None) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=False)
        self._manager = None if directory is None else ocp.CheckpointManager(directory.resolve(), options=options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *_: object) -> None:
        if self._manager is not None:
            self._manager.close()

    def resume(self, state: Any) -> tuple[Any, list[float]]:
        """Return the newest saved state, in the structure of `state`, and the losses so far; `state` and no losses if
        there is no checkpoint."""
        if self._manager is None or (epoch := self._manager.latest_step()) is None:
            return state, []
        found = self._manager.restore(
            epoch,
            args=ocp.args.Composite(state=ocp.args.StandardRestore(state), losses=ocp.args.JsonRestore()),
        )
        return found["state"], [float(loss) for loss in found["losses"]]

    def save(self, state: Any, losses: list[float]) -> None:
        if self._manager is not None:
            parts = ocp.args.Composite(state=ocp.args.StandardSave(state), losses=ocp.args.JsonSave(losses))
            self._manager.save(len(losses), args=parts)
            self._manager.wait_until_finished()
