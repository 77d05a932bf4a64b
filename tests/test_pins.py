"""What is installed is pinned: packages with hashes, images with versions and digests. Needs no network."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.txt", "requirements-dev.txt")
COMPOSE = ("docker-compose.yml", "docker-compose.embedded.yml")
OWN_IMAGE = "open-exchange"
PINNED = re.compile(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^\s;]+( ; .+)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
IMAGE = re.compile(r"[a-z0-9./-]+:v?\d+(\.\d+)+[a-z0-9.-]*@sha256:[0-9a-f]{64}")


def locked(name: str) -> dict[str, list[str]]:
    """The hashes of each package of a lock file, by its pin such as `numpy==2.1.0`."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for entry in text.replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
        if pin:
            found[pin] = hashes
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_its_hashes(name: str) -> None:
    packages = locked(name)
    assert len(packages) > 20
    for pin, hashes in packages.items():
        assert PINNED.fullmatch(pin), pin
        assert hashes, pin
        assert all(HASH.fullmatch(one) for one in hashes), pin


@pytest.mark.parametrize("name", LOCKS)
def test_every_wanted_package_is_in_the_lock_file(name: str) -> None:
    wanted = (ROOT / name.replace(".txt", ".in")).read_text(encoding="utf-8")
    names = {match[1].lower() for match in re.finditer(r"^([A-Za-z0-9._-]+)", wanted, re.MULTILINE)} - {"-r"}
    pinned = {re.split(r"[=\[]", pin)[0] for pin in locked(name)}
    assert {one.replace("_", "-") for one in names} - pinned == set()


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_packages_are_installed_by_their_hashes_and_as_wheels(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes --only-binary :all:" in line


def images() -> list[str]:
    services = [
        service for name in COMPOSE for service in yaml.safe_load((ROOT / name).read_text())["services"].values()
    ]
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return [*base, *(service["image"] for service in services if service["image"] != OWN_IMAGE)]


@pytest.mark.parametrize("image", sorted(set(images())))
def test_every_image_has_a_full_version_and_a_digest(image: str) -> None:
    assert IMAGE.fullmatch(image), image
