"""The documents name only what exists: paths, modules, links, commands, options, variables, make targets.

Of the changelog only the part about the coming version is checked: entries of releases describe the code of their time.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path

from django.core.management import call_command, get_commands, load_command_class

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
APPS = (
    "analytics",
    "archive",
    "back_office",
    "benchmarks",
    "exchange_site",
    "gateway",
    "ledger",
    "matching",
    "settlement",
    "simulator",
)
FOLDERS = (*APPS, "deploy", "docs", "schema", "scripts", "templates", "tests")
SOURCES = ("*.py", "*.yml", "*.sh", "*.cql", "*.toml", "Makefile", "Dockerfile", "run")
OF_OTHERS = {"DescribeConfigs", "sync_cassandra"}
"""Names of Kafka's and of django-cassandra-engine's."""

PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*[\w/*]|(?<![\w./-])\w[\w./-]*\.(?:py|sh)\b")
MODULE = re.compile(rf"`((?:{'|'.join(APPS)})(?:\.\w+)+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"manage\.py ([a-z_]+)")
VARIABLE = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`")
NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+)+|[A-Z][a-z]+(?:[A-Z][a-z]+)+)`")  # snake_case, CamelCase
TARGET = re.compile(r"`(?:\w+=\S+ )?make ([a-z][a-z-]*)`")


def text_of(document: Path) -> str:
    text = document.read_text(encoding="utf-8")
    if document.name == "CHANGELOG.md":
        return "\n## [".join(text.split("\n## [")[:2])
    return text


def named(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(document, what it names), for each thing that a document names."""
    for document in DOCUMENTS:
        for found in sorted(set(pattern.findall(text_of(document)))):
            yield str(document.relative_to(ROOT)), found


@cache
def sources() -> str:
    """All text of ours that is not a document, without this file."""
    files = [path for folder in FOLDERS for kind in SOURCES for path in (ROOT / folder).rglob(kind)]
    files += [path for kind in SOURCES for path in (*ROOT.glob(kind), *(ROOT / ".ci").glob(kind))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path != Path(__file__))


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_module_or_name(dotted: str) -> bool:
    """A module, a package, or a class or function that one defines."""
    *parents, last = dotted.split(".")
    place = ROOT.joinpath(*parents, last)
    if place.is_dir() or place.with_suffix(".py").is_file():
        return True
    package = ROOT.joinpath(*parents)
    module = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    return module.is_file() and bool(re.search(rf"\b{last}\b", module.read_text(encoding="utf-8")))


def options_of(command: str) -> set[str]:
    parser = load_command_class(get_commands()[command], command).create_parser("manage.py", command)
    return {option for action in parser._actions for option in action.option_strings}


def test_every_path_that_a_document_names_exists() -> None:
    missing = [(document, path) for document, path in named(PATH) if not any(ROOT.glob(path))]
    assert not missing


def test_every_module_that_a_document_names_exists() -> None:
    missing = [
        (document, module)
        for document, module in named(MODULE)
        if not is_module_or_name(module) and f'"{module}"' not in sources()  # or it is an event of the log
    ]
    assert not missing


def test_every_relative_link_leads_to_a_page_and_a_heading() -> None:
    broken = []
    for document, target in named(LINK):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        page = (ROOT / document).parent / file if file else ROOT / document
        if not page.exists() or (anchor and anchor not in anchors(page)):
            broken.append((document, target))
    assert not broken


def test_every_command_that_a_document_names_exists() -> None:
    commands = {*get_commands(), "help"}
    missing = [(document, command) for document, command in named(COMMAND) if command not in commands]
    assert not missing


def test_every_variable_that_a_document_names_is_in_the_sources() -> None:
    missing = [(document, name) for document, name in named(VARIABLE) if not re.search(rf"\b{name}\b", sources())]
    assert not missing


def test_every_identifier_that_a_document_names_is_in_the_sources() -> None:
    """Codes of refusals, metrics, health checks, fields, errors, tables."""
    words = set(re.findall(r"\w+", sources()))
    known = words | {f"{word}_total" for word in words} | OF_OTHERS  # Prometheus ends the name of a counter with _total
    missing = [(document, name) for document, name in named(NAME) if name not in known]
    assert not missing


def test_every_make_target_that_a_document_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    missing = [(document, target) for document, target in named(TARGET) if target not in targets]
    assert not missing


def readme_commands() -> dict[str, set[str]]:
    """Command → options, from the table of commands in the README."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            for usage in re.findall(r"`([a-z_]+[^`]*)`", line.split(" | ")[0]):
                found.setdefault(usage.split()[0], set()).update(re.findall(r"--[a-z-]+", usage))
    return found


def test_the_readme_lists_every_command_of_ours() -> None:
    ours = {name for name, app in get_commands().items() if app.split(".")[0] in APPS}
    assert set(readme_commands()) == ours


def test_every_option_in_the_readme_exists() -> None:
    missing = {name: options - options_of(name) for name, options in readme_commands().items()}
    assert not {name: options for name, options in missing.items() if options}


def test_the_example_of_the_readme_gives_the_trade_that_it_shows(tmp_path: Path) -> None:
    commands, trade = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "orders.jsonl"
    file.write_text(commands, encoding="utf-8")
    events = StringIO()

    call_command("replay", file, stdout=events)

    assert json.loads(trade) in [json.loads(line) for line in events.getvalue().splitlines()]
