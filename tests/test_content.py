"""Content folders are found in the checkout; unknown names are refused."""

import pytest

from neurolatent.content import FOLDERS, content_folder
from neurolatent.errors import SettingsError


@pytest.mark.parametrize("name", FOLDERS)
def test_an_editable_install_reads_the_checkout(name):
    folder = content_folder(name)
    assert (folder.parent / "pyproject.toml").is_file()
    assert not (folder / "__init__.py").exists()


def test_an_unknown_folder_is_refused_by_naming_the_known():
    with pytest.raises(SettingsError, match=r"Unknown content folder 'x'; choose from \['cohorts'"):
        content_folder("x")
