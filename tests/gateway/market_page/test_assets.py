"""The static files of the market page."""

import hashlib
import json
import re
from pathlib import Path

from gateway.market_page.assets import FOLDER, Assets

RECORDS = sorted((FOLDER / "vendor").glob("*.json"))


def test_the_digest_is_another_one_if_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "one.js").write_text("1;")
    before = Assets(tmp_path)
    assert before.digest == Assets(tmp_path).digest
    (tmp_path / "one.js").write_text("2;")
    assert Assets(tmp_path).digest != before.digest


def test_only_files_for_browsers_are_served() -> None:
    assets = Assets()
    assert assets.find("main.js")
    assert assets.find("vendor/lightweight-charts.mjs")
    assert assets.find("vendor/lightweight-charts.json") is None
    assert assets.find("../pages.py") is None


def test_each_foreign_file_is_the_recorded_one_and_has_its_licence() -> None:
    assert RECORDS
    recorded = set()
    for file in RECORDS:
        record = json.loads(file.read_text(encoding="utf-8"))
        served = file.parent / record["file"]
        assert hashlib.sha256(served.read_bytes()).hexdigest() == record["sha256"]
        assert f"v{record['version']}" in served.read_text(encoding="utf-8")[:300]
        assert "Apache License" in (file.parent / record["licence_file"]).read_text(encoding="utf-8")
        recorded |= {file.name, record["file"], record["licence_file"]}
    assert {file.name for file in (FOLDER / "vendor").iterdir()} == recorded


def test_own_files_load_nothing_from_elsewhere() -> None:
    foreign = re.compile(r"""(?:from|import|url|src|href)\s*[=(]?\s*["']?(?:https?:)?//""")
    for file in FOLDER.glob("*.*"):
        assert not foreign.search(file.read_text(encoding="utf-8")), file.name
