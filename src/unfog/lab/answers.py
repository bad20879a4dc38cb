"""Kinds of answers; the web's package comes with an extra, so it is imported when one is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.responses import Response

HTML, PNG, BYTES = "text/html; charset=utf-8", "image/png", "application/octet-stream"


def content(
    body: str | bytes, kind: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A whole body of some media type."""
    from starlette.responses import Response

    return Response(body, status, dict(headers or {}), kind)


def data(value: Any, status: int = 200) -> Response:
    """Plain data as JSON."""
    from starlette.responses import JSONResponse

    return JSONResponse(value, status)


def sentence(text: str, status: int, field: str = "") -> Response:
    """What went wrong, and the field of the form that it is about."""
    return data({"sentence": text, "field": field}, status)


def download(path: Path) -> Response:
    """A file to be kept, under its own name."""
    from starlette.responses import FileResponse

    return FileResponse(path, filename=path.name, media_type=BYTES)


def stream(parts: AsyncIterator[str], kind: str) -> Response:
    """A body that comes in parts."""
    from starlette.responses import StreamingResponse

    return StreamingResponse(parts, media_type=kind)


async def apart(function: Callable[..., Any], *values: Any) -> Any:
    """The value of a function that takes its time, which runs in a thread meanwhile."""
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *values)
