"""Text files as editors leave them: in UTF-8, or in what their byte order mark says."""

from __future__ import annotations

import codecs
from pathlib import Path

# UTF-32's mark of little-endian text begins with UTF-16's, so it comes first.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path) -> str:
    """The text of a file without its mark; UTF-8 where there is none.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not text (``UnicodeDecodeError``).
    """
    content = path.read_bytes()
    kind = next((kind for mark, kind in _MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(kind)
