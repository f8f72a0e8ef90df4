"""The error of a stage that has broken its own rules."""

from __future__ import annotations

from ranvier.errors import CompileError


class StageError(CompileError):
    """A stage of the compiler gave a result that its specification forbids."""

    def __init__(self, stage: str, where: str, fault: str) -> None:
        super().__init__(
            f"{stage}: {where}: {fault}; this is a defect of Ranvier, please report it"
        )
