"""A message as the bytes that a server sends: one text frame, not masked (RFC 6455, section 5.2).

The bytes are the same for every connection, so a message for many is framed once.
"""

_FIN_TEXT = b"\x81"


def frame(message: bytes) -> bytes:
    size = len(message)
    if size < 126:
        return b"%b%c%b" % (_FIN_TEXT, size, message)
    if size < 1 << 16:
        return b"%b\x7e%b%b" % (_FIN_TEXT, size.to_bytes(2, "big"), message)
    return b"%b\x7f%b%b" % (_FIN_TEXT, size.to_bytes(8, "big"), message)
