"""Raw folders and exam dates do not leave the workspace."""

import pytest

from neurolatent.errors import SettingsError
from neurolatent.report.privacy import refuse_private, scrub

ROOTS = ("/private/clinic/raw",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/private/clinic/raw/sub-1/anat.nii.gz is empty", "sub-1/anat.nii.gz is empty"),
        ("/home/someone/else/scan.nii is empty", "scan.nii is empty"),
        ("C:\\scans\\of\\Ann.nii", "Ann.nii"),
        ("ADNI_002_S_0295_20110602123456_S1.nii", "ADNI_002_S_0295_[date]_S1.nii"),
        ("scanned 2011-06-02", "scanned [date]"),
        ("scanned 2.6.2011", "scanned [date]"),
        ("born 02/06/1944", "born [date]"),
        (
            "sub-S1P0042/ses-M06/1: 72 years, 1/2, 2000 resamples",
            "sub-S1P0042/ses-M06/1: 72 years, 1/2, 2000 resamples",
        ),
        ("arXiv 2504.08635, arXiv 2010.02502", "arXiv 2504.08635, arXiv 2010.02502"),
        ("IXI328-Guys-0889-T1.nii.gz", "IXI328-Guys-0889-T1.nii.gz"),
    ],
)
def test_folders_and_dates_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert scrub(text, ROOTS) == expected


def test_a_report_that_would_show_the_source_folder_is_refused() -> None:
    with pytest.raises(SettingsError, match="would show the source folder /private/clinic/raw"):
        refuse_private(["fine", "see /private/clinic/raw/x"], ROOTS)


def test_a_source_folder_that_tells_nothing_refuses_nothing() -> None:
    refuse_private(["a/b."], ["/", "."])
