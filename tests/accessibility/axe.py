"""Examines the page that a browser shows with axe-core, by the rules of WCAG 2.2, levels A and AA.

`axe.min.js.gz` is the file of the npm package, compressed; `axe.json` has its version and hash.
"""

import gzip
import json
from pathlib import Path

from selenium.webdriver import Chrome

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "axe.min.js.gz"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")

_RUN = """
    const [tags, done] = arguments;
    const told = (violation) => violation.nodes.map((node) => {
        const checks = [...node.any, ...node.all, ...node.none];
        return `${violation.id}: ${node.target.join(" ")}: ${checks.map((check) => check.message).join("; ")}`;
    });
    axe.run(document, { runOnly: tags }).then(
        (results) => done({ violations: results.violations.flatMap(told), passes: results.passes.length }),
        (error) => done({ violations: [String(error)], passes: 0 }),
    );
"""


def source() -> str:
    return gzip.decompress(SCRIPT.read_bytes()).decode("utf-8")


def record() -> dict[str, str]:
    found: dict[str, str] = json.loads((FOLDER / "axe.json").read_text(encoding="utf-8"))
    return found


def violations(browser: Chrome) -> list[str]:
    """Each with its rule, element and reason."""
    browser.execute_script(source())
    found = browser.execute_async_script(_RUN, RULES)
    assert found["passes"] > 5 or found["violations"], "axe-core examined nothing"
    return list(found["violations"])
