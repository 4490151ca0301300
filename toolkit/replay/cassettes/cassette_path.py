"""Map the name of a cassette to its file: `suite/case` is `cassettes/suite/case.yaml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from toolkit.errors import InvalidInput

FOLDER: Final = Path("cassettes")
_PART: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_MAX_PARTS: Final = 12


def cassette_path(name: str, folder: Path | str = FOLDER) -> Path:
    """The file of the cassette `name`.

    Raises:
        InvalidInput: the name leads out of the folder, or is not a valid file name on every system.
    """
    parts = name.removesuffix(".yaml").split("/")
    if len(parts) > _MAX_PARTS or not all(map(is_file_name, parts)):
        raise InvalidInput(
            f"{name!r} is not a valid cassette name",
            hint="Use letters, digits, `.`, `_` and `-`, as in `suite/case`.",
        )
    return Path(folder).joinpath(*parts[:-1], f"{parts[-1]}.yaml")


def is_file_name(part: str) -> bool:
    """Whether `part` is a valid file name on every system."""
    return bool(_PART.fullmatch(part)) and not _RESERVED.fullmatch(part) and part[-1] != "."
