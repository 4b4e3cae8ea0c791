"""What a probe raises instead of an answer."""

from __future__ import annotations


class ProbeError(Exception):
    """The probe failed: `reason` in one sentence, `hint` what to do about it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class ProbeSkipped(ProbeError):
    """The probe cannot say anything here, such as a GPU model on a machine without GPU."""


class MissingLibraryError(ProbeError):
    """The interpreter lacks a library that the model needs."""
