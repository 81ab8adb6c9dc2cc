"""Fixtures of a clean cohort; makes the helpers beside the tests importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from planting import ROWS, Planted, clean_rows, head, save, write_table

from neurolatent.workspace import Workspace


@pytest.fixture(scope="session")
def heads(tmp_path_factory) -> list[bytes]:
    """One small head for each row, as the bytes of its file."""
    folder = tmp_path_factory.mktemp("heads")
    return [save(folder / f"{seed}.nii.gz", head(seed)).read_bytes() for seed in range(len(ROWS))]


@pytest.fixture
def cohort(tmp_path: Path, heads: list[bytes]) -> Planted:
    planted = Planted(Workspace(tmp_path / "workspace"), tmp_path / "source", clean_rows())
    for row, stored in zip(planted.rows, heads, strict=True):
        path = planted.source / row["image"]
        path.parent.mkdir(parents=True)
        path.write_bytes(stored)
    return planted


@pytest.fixture
def rows() -> list[dict[str, str]]:
    return clean_rows()


@pytest.fixture
def spoil(tmp_path: Path, rows: list[dict[str, str]]):
    """Write the clean table with some cells changed, given as (line, column, text)."""

    def write(*changes: tuple[int, str, str]) -> Path:
        for line, column, text in changes:
            rows[line - 2][column] = text
        return write_table(tmp_path / "visits.tsv", rows)

    return write
