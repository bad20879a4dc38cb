"""Errors that a user can mend: one sentence that names the thing and the remedy; the command line
prints it and exits with 2.
"""

from __future__ import annotations


class InputError(ValueError):
    """Bad input: the message is one sentence a user can act on."""


class MissingExtra(InputError):
    """An optional dependency is not installed."""

    def __init__(self, extra: str, package: str) -> None:
        super().__init__(
            f"{package} is not installed; it comes with an extra: pip install 'unfog[{extra}]'."
        )
