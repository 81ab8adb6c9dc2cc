"""The page about the phantom says what works."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "phantom.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is part of the checkout, not of the package")
def test_the_pages_python_runs_as_written(tiny, monkeypatch, tmp_path):
    (tmp_path / "out" / "phantom").mkdir(parents=True)
    (tmp_path / "out" / "phantom" / "source").symlink_to(tiny)
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, str(PAGE), "exec"), names)
    assert getattr(names["moved"], "shape")[0] == 3  # noqa: B009
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / picture).is_file(), picture
