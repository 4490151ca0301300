"""Text as XML can hold it: some characters are forbidden there even when they are escaped."""

from __future__ import annotations

import re
from typing import Final

# XML 1.0, production 2.
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean_xml(text: str) -> str:
    """The text with a replacement character for each that XML 1.0 cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
