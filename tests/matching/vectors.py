"""The vectors in tests/vectors: commands, and the events that they must give."""

from pathlib import Path

VECTORS = Path(__file__).parents[1] / "vectors"
NAMES = sorted(path.name.removesuffix(".commands.jsonl") for path in VECTORS.glob("*.commands.jsonl"))


def commands_of(name: str) -> Path:
    return VECTORS / f"{name}.commands.jsonl"


def lines_of_vector(name: str) -> list[str]:
    return commands_of(name).read_text(encoding="utf-8").splitlines(keepends=True)


def expected_of(name: str) -> list[str]:
    return (VECTORS / f"{name}.events.jsonl").read_text(encoding="utf-8").splitlines()
