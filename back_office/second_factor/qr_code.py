"""The secret as a QR code, which authenticator apps read from the screen."""

import segno
from django.utils.safestring import SafeString, mark_safe

MODULE_PX = 5


def svg(text: str) -> SafeString:
    """An SVG element to stand in a page: black on white in both themes, because apps read only that."""
    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(scale=MODULE_PX, dark="#000", light="#fff", svgclass=None, lineclass=None)
    return mark_safe(drawn)  # noqa: S308  # of numbers and colours only
