"""The compiled kernel's cache is never stale: its folder name depends on everything that the code depends on."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import config

from matching.core.kernel import compiling

ROOT = Path(__file__).parents[3]
CORE = ROOT / "matching" / "core"
SOURCES = [*(str(path.relative_to(CORE)) for path in (CORE / "kernel").rglob("*.py")), "codes.py", "layout.py"]

# Position of a balance in the hash table: depends on constants of another file than the function.
PROGRAM = """
import numpy as np
from matching.core import kernel, layout
pools = kernel.with_instrument(kernel.empty_pools(), 0, np.zeros(1, layout.INSTRUMENT))
kernel.open_balance(pools, 5, 7)
print(np.flatnonzero(pools.balance_table)[0])
"""


def run(folder: Path, cache: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning", *arguments],
        cwd=folder,
        env={**bare, "XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package that a test may change."""
    return Path(shutil.copytree(ROOT / "matching", tmp_path / "matching"))


@pytest.mark.parametrize("source", SOURCES)
def test_the_folder_depends_on_every_source(source: str, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiling._fingerprint()
    monkeypatch.setattr(compiling, "_PACKAGE", package / "core" / "kernel")
    assert compiling._fingerprint() == before
    file = package / "core" / source
    stamp = file.stat()
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "\n", encoding="utf-8")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert compiling._fingerprint() != before
    file.write_text(text, encoding="utf-8")
    assert compiling._fingerprint() == before


def test_the_folder_depends_on_all_sources_of_the_kernel() -> None:
    """A constant from an unlisted module would be compiled in without being part of the folder's name."""
    modules = {f"matching.core.{source.removesuffix('.py').replace('/', '.')}" for source in SOURCES}
    listed = {module.removesuffix(".__init__") for module in modules} | {"matching.core"}
    program = "import sys, matching.core.kernel; print(*(name for name in sys.modules if name.startswith('matching.')))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) <= listed


def test_the_folder_depends_on_the_compiler_and_on_bounds_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {compiling._fingerprint()}
    for where, name, value in (
        (numba, "__version__", "0.1"),
        (np, "__version__", "0.1"),
        (config, "BOUNDSCHECK", 1),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(where, name, value)
            found.add(compiling._fingerprint())
    assert len(found) == 4


@pytest.mark.processes
def test_a_changed_constant_is_never_taken_from_the_cache(package: Path, tmp_path: Path) -> None:
    tables = package / "core" / "kernel" / "structures" / "tables.py"
    folder, cache = tmp_path, tmp_path / "cache"
    first = run(folder, cache, "-c", PROGRAM).stdout
    assert run(folder, cache, "-c", PROGRAM).stdout == first
    stamp = tables.stat()
    text = tables.read_text(encoding="utf-8")
    tables.write_text(text.replace("0x9E3779B97F4A7C15", "0x9E3779B97F4A7C17"), encoding="utf-8")
    os.utime(tables, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    changed = run(folder, cache, "-c", PROGRAM).stdout
    assert changed == run(folder, cache, "-c", PROGRAM, NUMBA_DISABLE_JIT="1", PYTHONDONTWRITEBYTECODE="1").stdout
    assert changed != first
    assert len(list((cache / "exchange-kernel").iterdir())) == 2


def test_another_folder_is_used_if_the_cache_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = compiling._cache_folder()
    assert folder.parent == tmp_path / f"exchange-kernel-{os.getuid()}"
    assert folder.is_dir()


@pytest.mark.slow
@pytest.mark.processes
def test_only_the_first_use_compiles_and_reports_it(tmp_path: Path) -> None:
    empty = tmp_path / "nothing.jsonl"
    empty.touch()
    first = run(ROOT, tmp_path / "cache", "manage.py", "replay", str(empty))
    assert (
        first.stderr == "Compiling the matching kernel for this machine. This takes about a minute and is done once.\n"
    )
    second = run(ROOT, tmp_path / "cache", "manage.py", "replay", str(empty))
    assert second.stderr == ""
    assert second.stdout == first.stdout
