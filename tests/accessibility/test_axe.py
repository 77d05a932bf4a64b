"""axe-core is the recorded file, and finds what it has to find."""

import hashlib

import pytest
from selenium.webdriver import Chrome

from tests.accessibility import axe


def test_the_script_is_the_recorded_one_and_has_its_licence() -> None:
    record = axe.record()
    source = axe.source()
    assert hashlib.sha256(source.encode("utf-8")).hexdigest() == record["sha256"]
    assert source.startswith(f"/*! axe v{record['version']}\n")
    assert "Mozilla Public License, version 2.0" in (axe.FOLDER / record["licence_file"]).read_text(encoding="utf-8")


@pytest.mark.services("browser")
def test_a_page_with_faults_has_violations(browser: Chrome) -> None:
    browser.get("data:text/html,<html lang='en'><title>a</title><main style='color:%23999'>pale<input></main>")
    found = axe.violations(browser)
    browser.get("about:blank")
    assert sorted({one.partition(":")[0] for one in found}) == ["color-contrast", "label"]
