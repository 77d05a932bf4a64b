"""The picture of the secret is an element without inline styles, which the content security policy would refuse."""

from xml.etree import ElementTree

from back_office.second_factor import qr_code

URL = "otpauth://totp/Exchange%3Abob?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA1&digits=6&period=30"


def test_it_is_an_element_without_style_and_script() -> None:
    drawn = qr_code.svg(URL)
    assert drawn.startswith("<svg ")
    tree = ElementTree.fromstring(drawn)
    assert {name for one in tree.iter() for name in one.attrib} <= {
        *("width", "height", "viewBox", "transform", "fill", "stroke", "d", "class")
    }
    assert {one.tag.rpartition("}")[2] for one in tree.iter()} == {"svg", "g", "path"}


def test_another_secret_is_another_picture() -> None:
    assert qr_code.svg(URL) != qr_code.svg(URL.replace("GEZD", "GEZE"))
