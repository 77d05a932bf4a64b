"""docs/architecture.md shows the code as it is: the tree of folders, the layers, the path of an order."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SHOWN_WITH_THEIR_PARENT = {"commands", "back_office", "config"}
"""`management/commands`, a static folder named for its app, configuration of servers for tests."""


def block_after(heading: str) -> list[str]:
    """The lines of the first code block below a heading."""
    return PAGE.split(f"\n## {heading}\n")[1].split("```")[1].strip("\n").splitlines()


def shown_folders() -> set[str]:
    folders: list[str] = []
    found = set()
    for line in block_after("Folders"):
        name = line.split("/")[0]
        depth = (len(name) - len(name.lstrip())) // 2
        folders[depth:] = [name.strip()]
        found.add("/".join(folders))
    return found


def test_every_folder_in_the_tree_exists() -> None:
    assert not [folder for folder in shown_folders() if not (ROOT / folder).is_dir()]


def test_every_package_is_in_the_tree() -> None:
    tops = {folder.split("/")[0] for folder in shown_folders()} - {"tests"}
    packages = {file.parent for top in tops for file in (ROOT / top).rglob("*.py")}
    folders = {str(package.relative_to(ROOT)) for package in packages if package.name not in SHOWN_WITH_THEIR_PARENT}
    assert not folders - shown_folders()


def test_the_layers_are_those_of_the_import_contracts() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [contract for contract in settings["tool"]["importlinter"]["contracts"] if contract["type"] == "layers"]
    shown = [line.split(maxsplit=1)[1] for line in block_after("Layers")]
    assert shown == [" → ".join(contract["layers"]) for contract in contracts]


def test_every_step_of_the_path_of_an_order_names_a_function_that_exists() -> None:
    steps = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `?([\w.]*)`? \|", PAGE, re.MULTILINE)
    assert len(steps) > 20
    for file, function in steps:
        source = (ROOT / file).read_text(encoding="utf-8")
        for name in function.split(".") if function else ():
            assert re.search(rf"^\s*(?:def|class) {name}\b", source, re.MULTILINE), f"{file} has no {function}"
