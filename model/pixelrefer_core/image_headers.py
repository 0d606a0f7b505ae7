"""How large a compressed image will be, told by its first bytes: a few kilobytes can hold gigabytes of one colour.

JPEG, PNG and WebP alone are known: what is nobody's camera image is not given to a decoder.
"""

from __future__ import annotations

_PNG = b'\x89PNG\r\n\x1a\n'
# Start-of-frame markers: C0 to CF without those of tables (C4), extensions (C8) and arithmetic coding (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: restarts, start and end of the image, and a byte that only fills.
_JPEG_BARE = frozenset(range(0xD0, 0xDA)) | {0x01, 0xFF}


def compressed_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Return ``(height, width)`` in pixels as the header says, None when it is neither JPEG, PNG nor WebP."""
    if data[:2] == b'\xff\xd8':
        return _jpeg_size(data)
    if data[:8] == _PNG and len(data) >= 24:
        return int.from_bytes(data[20:24], 'big'), int.from_bytes(data[16:20], 'big')
    if data[:4] == b'RIFF' and data[8:12] == b'WEBP' and len(data) >= 30:
        return _webp_size(data)
    return None


def _jpeg_size(data: bytes | memoryview) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], 'big'), int.from_bytes(data[at + 7 : at + 9], 'big')
        if marker == 0xFF:
            at += 1
        else:
            at += 2 if marker in _JPEG_BARE else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None


def _webp_size(data: bytes | memoryview) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b'VP8X':
        return 1 + int.from_bytes(data[27:30], 'little'), 1 + int.from_bytes(data[24:27], 'little')
    if kind == b'VP8L':
        bits = int.from_bytes(data[21:25], 'little')
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b'VP8 ':
        return (
            int.from_bytes(data[28:30], 'little') & 0x3FFF,
            int.from_bytes(data[26:28], 'little') & 0x3FFF,
        )
    return None
