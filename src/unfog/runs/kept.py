"""Opened runs that a process keeps, so that many pieces of work by the same model load it once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")
_KEPT: ContextVar[dict[Hashable, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def keeping_runs() -> Iterator[None]:
    """Within the block a run that was opened is not read again; its weights are frozen, so whoever
    opens it may share it.
    """
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def kept(key: Hashable, read: Callable[[], T]) -> T:
    """What was read under this key within ``keeping_runs``, or what ``read`` gives."""
    store = _KEPT.get()
    if store is None:
        return read()
    if key not in store:
        store[key] = read()
    found: T = store[key]
    return found
