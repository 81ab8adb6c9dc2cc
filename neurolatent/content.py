"""Find the content folders: those of the checkout in an editable install, else the wheel's copies."""

from functools import cache
from pathlib import Path

from neurolatent.errors import SettingsError

FOLDERS = ("cohorts", "protocols", "reports")


@cache
def content_folder(name: str) -> Path:
    """Return the folder of that name, whose files are data and never imported."""
    if name not in FOLDERS:
        msg = f"Unknown content folder {name!r}; choose from {sorted(FOLDERS)}."
        raise SettingsError(msg)
    package = Path(__file__).parent
    candidates = [package.parent / name, package / "_content" / name]
    checkout = (package.parent / "pyproject.toml").is_file()
    for folder in candidates if checkout else candidates[1:]:
        if folder.is_dir():
            return folder
    msg = f"The content folder {name!r} is in none of {[str(c) for c in candidates]}. Reinstall neurolatent."
    raise SettingsError(msg)
