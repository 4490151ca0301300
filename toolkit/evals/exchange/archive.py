"""Members of a zip file, those packed with Zstandard too, which `zipfile` of Python 3.11 cannot.

Method 93 is Zstandard (PKWARE's APPNOTE 6.3.10, section 4.4.5).
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Final

from toolkit.errors import InvalidInput

MAX_MEMBER_BYTES: Final = 256 * 1024 * 1024
_ZSTANDARD: Final = 93
_LOCAL_HEADER: Final = struct.Struct("<4s5H3I2H")


class Archive:
    """A zip file that is being read; use it in a `with` statement.

    Raises:
        InvalidInput: it is no zip file.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            self._file: IO[bytes] = path.open("rb")
        except OSError as error:
            raise InvalidInput(f"{path.name} cannot be read ({error.strerror})") from None
        try:
            self._zip = zipfile.ZipFile(self._file)
        except zipfile.BadZipFile as error:
            self._file.close()
            raise InvalidInput(f"{path.name} is no zip file: {error}") from None
        self._members = {info.filename: info for info in self._zip.infolist()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> list[str]:
        """The members."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """One member, unpacked and checked against its checksum.

        Raises:
            InvalidInput: there is no such member, it is too large, or it is damaged.
        """
        info = self._members.get(name)
        if info is None:
            raise InvalidInput(f"{self._name} has no {name}")
        if info.file_size > MAX_MEMBER_BYTES:
            raise InvalidInput(f"{name} in {self._name} is larger than {MAX_MEMBER_BYTES:,} bytes")
        try:
            content = self._unpack(info)
        except (zipfile.BadZipFile, OSError, EOFError, struct.error, zlib.error, ValueError,
                NotImplementedError, RuntimeError) as error:  # fmt: skip
            raise InvalidInput(f"{name} in {self._name} is damaged: {error}") from None
        if zlib.crc32(content) != info.CRC:
            raise InvalidInput(f"{name} in {self._name} is damaged: its checksum is another")
        return content

    def _unpack(self, info: zipfile.ZipInfo) -> bytes:
        if info.compress_type != _ZSTANDARD:
            return self._zip.read(info)
        import pyarrow as pa

        # The local header may have another extra field than the directory: its own lengths count.
        self._file.seek(info.header_offset)
        header = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        if header[0] != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member does not begin where the directory says")
        self._file.seek(header[-2] + header[-1], 1)
        packed = self._file.read(info.compress_size)
        unpacked: bytes = pa.Codec("zstd").decompress(packed, info.file_size, asbytes=True)
        return unpacked
