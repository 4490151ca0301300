"""The toolkit's own version, for rows, cassettes and reports; below every layer."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
