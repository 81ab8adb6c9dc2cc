"""The README's commands, word for word, take real heads to a report."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def readme_commands(source: Path, workspace: Path) -> list[list[str]]:
    """The commands of the README's block on IXI, with its two places filled in."""
    blocks = re.findall(
        r"```\n(neurolatent cohort build ixi .*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL
    )
    lines = [line.split("#")[0].strip() for line in blocks[0].splitlines()]
    filled = [line.replace("PATH/TO/IXI", str(source)).replace("out/ixi", str(workspace)) for line in lines if line]
    return [[sys.executable, "-m", "neurolatent.cli", *shlex.split(line)[1:]] for line in filled]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(75 * 60)
def test_real_heads_reach_a_report(shared_data, tmp_path):
    for command in readme_commands(shared_data / "ixi-2mm", tmp_path / "ixi"):
        subprocess.run(command, check=True, timeout=60 * 60)
    finding = json.loads((tmp_path / "ixi/findings/demo/regress_age/finding.json").read_text())
    assert finding["certificate"] == "certified", finding["certificate_reason"]
    errors = [row for row in finding["rows"] if row["kind"] == "estimate" and row["name"] == "MAE"]
    model = next(row for row in errors if row["role"] == "model" and row["model"] == "semantic code")
    assert model["n_subjects"] >= 25
    gain = next(row for row in errors if row["role"] == "difference" and row["model"] == "semantic code − mean age")
    assert gain["high"] < 0, f"the age error does not beat the mean age: {gain}"
    for name in ("report.html", "report.pdf"):
        assert (tmp_path / "ixi" / name).stat().st_size > 50_000
    split = json.loads((tmp_path / "ixi/split.json").read_text())
    assert "sub-IXI328" not in json.dumps(split)
