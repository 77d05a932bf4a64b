"""Text files are read in bounded memory, and replaced only when completely written."""

import os
import tracemalloc
from pathlib import Path

import pytest

from matching.core.errors import BadFile
from matching.storage.text_files import MAX_LINE_BYTES, TOO_LONG, lines_of, written_whole


def test_a_line_of_the_longest_length_is_read_and_a_longer_one_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    for length, kept in ((MAX_LINE_BYTES - 2, True), (MAX_LINE_BYTES, False), (3 * MAX_LINE_BYTES, False)):
        long = "ä" * (length // 2) + "\n"
        file.write_bytes(f"a\r\n{long}b".encode())
        assert list(lines_of(file)) == ["a\r\n", long if kept else TOO_LONG, "b"]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes("a\rb\u2028c\x85d\ve\fg\r\n\nh".encode())
    assert list(lines_of(file)) == ["a\rb\u2028c\x85d\ve\fg\r\n", "\n", "h"]


def test_a_byte_order_mark_is_left_out_at_the_start_alone(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes("\ufeffa\n\ufeffb\n".encode())
    assert list(lines_of(file)) == ["a\n", "\ufeffb\n"]


@pytest.mark.parametrize("bad", [b"\xff\n", b"\xc3", b"a" * MAX_LINE_BYTES + b"\xff\n", b"\xc3\x28\nd\n"])
def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path, bad: bytes) -> None:
    file = tmp_path / "lines"
    file.write_bytes(b"a\nb\n" + bad)
    lines = lines_of(file)
    assert [next(lines), next(lines)] == ["a\n", "b\n"]
    with pytest.raises(BadFile, match=r"/lines is not UTF-8 text: line 3 has [^.]+\.$"):
        list(lines)


def test_a_file_of_one_endless_line_is_read_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    with file.open("wb") as endless:
        endless.truncate(64 << 20)  # zeros
    tracemalloc.start()
    try:
        assert list(lines_of(file)) == [TOO_LONG]
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_cannot_be_read_is_refused_before_its_first_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "a\0b"):
        with pytest.raises(BadFile, match=r"cannot be read: [^.]+\.$"):
            lines_of(path)


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    link.symlink_to(target)
    with written_whole(link) as file:
        file.write("after")
        file.flush()
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    with written_whole(Path(os.devnull)) as file:
        file.write("away")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(BadFile, match="No space left on device"), written_whole(Path("/dev/full")) as file:
        file.write("no room")


@pytest.mark.parametrize("name", ["", "none/file", "circle", "a\0b"])
def test_a_file_that_cannot_be_made_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(BadFile, match=r"cannot be written: .+\.$"), written_whole(tmp_path / name):
        pytest.fail("it was opened")
