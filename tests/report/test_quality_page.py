"""Claims about the page on which scans are judged: worst first, nothing private, and verdicts that come back."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from neurolatent.errors import ScanError, SettingsError, TableError
from neurolatent.report.quality_page import write_quality_page
from neurolatent.volume.review import Verdict, read_review
from neurolatent.workspace import ScanKey

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
MEASURES = ["mask_source", "template_overlap", "new_measure"]
HEAD = ["participant_id", "session_id", "run", "status", "reason", "flags", *MEASURES]
FAILED = "expected one 3D volume, got shape (4, 4, 4, 2) in /private/clinic/scan.nii, born 1950-03-12"
TWO_FLAGS = "low contrast_to_noise (robust z -5); clipped voxels 3.2 %"
ROWS = [
    ["sub-01", "ses-1", "1", "done", "n/a", "n/a", "estimated", "0.95", "17.5"],
    ["sub-02", "ses-1", "1", "done", "n/a", "low contrast_to_noise (robust z -4.1)", "estimated", "0.93", "2"],
    ["sub-03", "ses-1", "1", "failed", FAILED, "n/a", "n/a", "n/a", "n/a"],
    ["sub-04", "ses-1", "2", "done", "n/a", "n/a", "given", "0.90", "3"],
    ["sub-05", "ses-1", "1", "done", "n/a", TWO_FLAGS, "estimated", "0.97", "4"],
    ["sub-06", "ses-1", "1", "done", "n/a", "n/a", "given", "0.90", "n/a"],
    [HOSTILE, "ses-1", "1", "done", "n/a", f"{HOSTILE} 1", "estimated", "0.94", HOSTILE],
]  # fmt: skip
WORST_FIRST = ["sub-03", "sub-05", "sub-02", HOSTILE, "sub-04", "sub-06", "sub-01"]
REVIEW = {
    ScanKey("sub-05", "ses-1", "1"): Verdict(passed=False, note="eyes in the mask"),
    ScanKey("sub-99", "ses-1", "1"): Verdict(passed=True, note=""),
}


class Place:
    """A folder of derivatives with a table, pictures and, where wanted, a review."""

    def __init__(self, folder: Path) -> None:
        self.page, self.table = folder / "quality.html", folder / "quality.tsv"
        self.review, self.pictures = folder / "review.tsv", folder / "qc"

    def table_of(self, rows: list[list[str]]) -> None:
        quoted = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
        self.table.write_text("\n".join("\t".join(row) for row in [HEAD, *quoted]) + "\n", encoding="utf-8")

    def review_of(self, verdicts: dict[ScanKey, Verdict]) -> None:
        rows = [[*key, verdict.word, verdict.note] for key, verdict in verdicts.items()]
        head = ["participant_id", "session_id", "run", "verdict", "note"]
        self.review.write_text("\n".join("\t".join(row) for row in [head, *rows]) + "\n", encoding="utf-8")

    def write(self, title: str = "Quality of a cohort") -> str:
        write_quality_page(self.page, self.table, self.review, self.pictures, title=title)
        return self.page.read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    one = Place(tmp_path / "derivatives")
    one.pictures.mkdir(parents=True)
    shades = np.random.default_rng(1).integers(0, 255, (96, 256), dtype=np.uint8)
    for participant, session, run, status, *_ in ROWS:
        if status == "done" and "/" not in participant:
            Image.fromarray(shades).save(one.pictures / f"{participant}_{session}_run-{run}.png")
    one.table_of(ROWS)
    return one


def shown_names(page: str) -> list[str]:
    return [unescape(name) for name in re.findall(r'data-participant="([^"]*)"', page)]


def test_the_worst_scan_comes_first(place: Place) -> None:
    assert shown_names(place.write()) == WORST_FIRST


def test_a_scan_says_why_it_is_here_and_every_measure_of_the_table(place: Place) -> None:
    page = place.write()
    assert "Expected one 3D volume, got shape (4, 4, 4, 2)" in page
    assert "<li>Low contrast to noise (robust z -4.1)</li>" in page
    assert "<li>Clipped voxels 3.2 %</li>" in page
    assert '<th scope="row">New measure</th><td>17.5</td>' in page
    assert "Low contrast to noise (2)" in page
    assert "7 scans: 1 could not be preprocessed, 3 flagged." in page


def test_pictures_are_linked_lazily_and_relatively_and_a_failed_scan_says_it_has_none(place: Place) -> None:
    page = place.write()
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 5
    assert all('loading="lazy"' in image for image in images)
    for source in re.findall(r'<img src="([^"]*)"', page):
        assert (place.page.parent / unquote(source)).is_file()
    assert page.count("No picture: preprocessing failed.") == 1
    assert page.count(">No picture.<") == 1, "the name with a slash: no file can have it"


def test_no_path_and_no_date_of_birth_stands_on_the_page(place: Place, tmp_path: Path) -> None:
    place.review_of({ScanKey("sub-01", "ses-1", "1"): Verdict(passed=True, note="born 1950-03-12, /private/clinic/x")})
    page = place.write("Scans of /private/clinic/scan.nii")
    for told in (str(tmp_path), "/private/", "1950"):
        assert told not in page


def test_a_hostile_name_stays_text(place: Place) -> None:
    page = place.write(HOSTILE)
    assert "<img src=x" not in page
    assert page.count("<script") == page.count("</script>") == 1
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)[0]


def test_the_policy_allows_only_what_the_page_brings(place: Place) -> None:
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', place.write())[0]
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    assert not re.search(r"https?://|@import|//cdn| style=| on[a-z]+=", place.write().replace("onerror", ""))


def test_verdicts_given_before_are_there(place: Place) -> None:
    place.review_of(REVIEW)
    page = place.write()
    assert 'data-verdict="fail" data-note="eyes in the mask"' in page
    assert "Verdicts on scans that are not in this table (1)" in page


def test_another_table_keeps_its_verdicts_apart_and_another_review_does_not(place: Place) -> None:
    def contents() -> str:
        return re.findall(r'data-contents="(\w+)"', place.write())[0]

    first = contents()
    place.review_of(REVIEW)
    assert contents() == first
    place.table_of(ROWS[:-1])
    assert contents() != first


def test_what_cannot_be_shown_is_refused_and_the_old_page_stays(place: Place, tmp_path: Path) -> None:
    before = place.write()
    place.review.write_text("participant_id\n")
    with pytest.raises(ScanError, match=r"review.tsv line 1: expected the columns"):
        place.write()
    place.review.unlink()
    with pytest.raises(SettingsError, match=r"elsewhere: expected the pictures below the page's folder"):
        write_quality_page(place.page, place.table, place.review, tmp_path / "elsewhere", title="x")
    place.table.unlink()
    with pytest.raises(TableError, match=r"quality.tsv: expected the table of quality, found none. Run"):
        place.write()
    assert place.page.read_text(encoding="utf-8") == before


def test_a_table_without_flags_or_overlap_is_shown_by_key(place: Place) -> None:
    place.table.write_text("participant_id\tsession_id\trun\tstatus\nsub-2\ts\t1\tdone\nsub-1\ts\t1\tdone\n")
    assert shown_names(place.write()) == ["sub-1", "sub-2"]


@pytest.fixture(scope="module")
def chromium():
    if not CHROMIUM.is_file():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(place: Place, chromium):
    """The page in a browser that holds it to its policy, and that has met no error when the test ends."""
    place.review_of(REVIEW)
    place.write()
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    one = context.new_page()
    errors: list[str] = []
    one.on("pageerror", lambda error: errors.append(str(error)))
    one.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    one.goto(place.page.as_uri())
    yield one
    context.close()
    assert errors == []


def visible(tab) -> list[str]:
    cards = tab.locator(".card").all()
    return [card.get_attribute("data-participant") for card in cards if card.is_visible()]


def exported(tab, path: Path) -> dict[ScanKey, Verdict]:
    with tab.expect_download() as download:
        tab.keyboard.press("e")
    assert download.value.suggested_filename == "review.tsv"
    download.value.save_as(path)
    return read_review(path)


@pytest.mark.browser
def test_each_filter_leaves_what_it_names(tab) -> None:
    assert visible(tab) == WORST_FIRST
    tab.select_option("#kind", label="Low contrast to noise (2)")
    assert visible(tab) == ["sub-05", "sub-02"]
    assert "Showing 2 of 7 scans" in tab.inner_text("#counts")
    tab.select_option("#verdict", label="Fail")
    assert visible(tab) == ["sub-05"]
    tab.select_option("#kind", label="No flag")
    assert visible(tab) == []
    tab.click("text=Show all scans")
    tab.select_option("#status", label="Failed (1)")
    assert visible(tab) == ["sub-03"]
    tab.select_option("#status", label="Any status")
    tab.fill("#participant", "SUB-04")
    assert visible(tab) == ["sub-04"]
    tab.fill("#participant", "</script>")
    assert visible(tab) == [HOSTILE]


@pytest.mark.browser
def test_verdicts_by_keyboard_come_back_from_the_exported_file(tab, place: Place, tmp_path: Path) -> None:
    tab.keyboard.press("f")  # the first: sub-03
    for key in ("j", "p", "ArrowDown", "f", "u", "p", "n"):  # sub-05 pass; sub-02 fail, undone, pass; its note
        tab.keyboard.press(key)
    tab.keyboard.type('pale, "but" fine')
    tab.keyboard.press("Enter")
    for key in ("j", "f", "j", "p", "k", "j", "u"):  # the hostile one fail; sub-04 pass, undone
        tab.keyboard.press(key)
    assert "Undone. sub-04, ses-1, run 2: no verdict." in tab.inner_text("[aria-live=polite]")
    wanted = {
        ScanKey("sub-03", "ses-1", "1"): Verdict(passed=False, note=""),
        ScanKey("sub-05", "ses-1", "1"): Verdict(passed=True, note="eyes in the mask"),
        ScanKey("sub-02", "ses-1", "1"): Verdict(passed=True, note='pale, "but" fine'),
        ScanKey(HOSTILE, "ses-1", "1"): Verdict(passed=False, note=""),
        ScanKey("sub-99", "ses-1", "1"): Verdict(passed=True, note=""),
    }
    assert exported(tab, tmp_path / "review.tsv") == wanted
    tab.reload()
    assert exported(tab, tmp_path / "again.tsv") == wanted
    assert (tmp_path / "again.tsv").read_bytes() == (tmp_path / "review.tsv").read_bytes()


@pytest.mark.browser
def test_where_the_review_file_has_changed_it_is_right_and_other_verdicts_stay(tab, place: Place, tmp_path) -> None:
    for key in ("f", "j", "p"):  # sub-03 fail; sub-05, which the file fails, pass
        tab.keyboard.press(key)
    place.review_of({ScanKey("sub-05", "ses-1", "1"): Verdict(passed=False, note="looked again")})
    place.write()
    tab.reload()
    assert exported(tab, tmp_path / "review.tsv") == {
        ScanKey("sub-03", "ses-1", "1"): Verdict(passed=False, note=""),
        ScanKey("sub-05", "ses-1", "1"): Verdict(passed=False, note="looked again"),
    }


@pytest.mark.browser
def test_buttons_do_what_the_keys_do(tab, tmp_path: Path) -> None:
    tab.click("[data-participant=sub-01] button.fail")
    tab.click("#bar >> text=Undo")
    tab.click("#bar >> text=Previous")
    tab.click("#bar >> text=Pass")  # sub-06
    tab.click("#bar >> text=Note")
    tab.keyboard.type("p f u")
    tab.click("#bar >> text=Next")
    tab.click("#bar >> text=Fail")  # sub-01
    with tab.expect_download() as download:
        tab.click("#bar >> text=Export")
    download.value.save_as(tmp_path / "review.tsv")
    assert read_review(tmp_path / "review.tsv") == REVIEW | {
        ScanKey("sub-06", "ses-1", "1"): Verdict(passed=True, note="p f u"),
        ScanKey("sub-01", "ses-1", "1"): Verdict(passed=False, note=""),
    }


@pytest.mark.browser
def test_a_judged_scan_stays_until_one_moves_on(tab) -> None:
    tab.select_option("#verdict", label="No verdict")
    assert visible(tab)[:2] == ["sub-03", "sub-02"]
    tab.click("[data-participant=sub-03] button.fail")
    assert visible(tab)[0] == "sub-03"
    tab.keyboard.press("j")
    assert visible(tab)[0] == "sub-02"
    assert tab.evaluate("document.activeElement.dataset.participant") == "sub-02"


@pytest.mark.browser
def test_pictures_are_loaded_before_they_are_printed(tab) -> None:
    tab.set_viewport_size({"width": 500, "height": 300})
    tab.reload()
    tab.evaluate("""window.print = () => {
      const shown = [...document.images].filter((one) => !one.closest("li").hidden);
      window.printed = shown.map((one) => one.complete && one.naturalWidth);
    }""")
    tab.keyboard.press("Control+p")
    tab.wait_for_function("window.printed")
    assert tab.evaluate("window.printed") == [256] * 5
    tab.fill("#participant", "sub-01")
    tab.click("text=Print these")
    tab.wait_for_function("window.printed.length === 1")


@pytest.mark.browser
def test_keys_can_be_switched_off(tab) -> None:
    tab.click("text=Keys")
    tab.uncheck("#keys")
    tab.locator(".card").first.focus()
    tab.keyboard.press("p")
    assert "1 pass" not in tab.inner_text("#counts")


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_and_nothing_is_cut_off(place: Place, chromium, width: int, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    place.review_of(REVIEW)
    place.write()
    context = chromium.new_context(viewport={"width": width, "height": 900}, bypass_csp=True, color_scheme=scheme)
    tab = context.new_page()
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(place.page.as_uri())
    tab.keyboard.press("p")
    tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    outcome = Axe().run(tab)
    overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert outcome.violations_count == 0, outcome.generate_report()
    assert overflow <= 0
    assert all(url.startswith("file:") for url in requests)
