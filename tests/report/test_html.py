"""The page escapes everything, asks the network for nothing, and can be used by everybody."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from neurolatent.report.html import render_html
from neurolatent.report.records import Exclusion, Summary
from neurolatent.report.summary import summarise
from neurolatent.workspace import Workspace

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
CHROMIUM = Path("/usr/bin/chromium")


class Page(HTMLParser):
    """Collect tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="session")
def page(summary: Summary) -> str:
    return render_html(summary)


def test_hostile_text_stays_text(summary: Summary) -> None:
    cohort = replace(summary.cohort, exclusions=(Exclusion(HOSTILE, "error", (HOSTILE,)),))
    section = replace(summary.sections[0], notes=(HOSTILE,), title=HOSTILE)
    hostile = replace(summary, title=HOSTILE, cohort=cohort, sections=(section,))
    text = render_html(hostile)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 6
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", text)[0]


def test_nothing_is_fetched(page: str) -> None:
    addresses = [one.get(name) for _, one in Page(page).tags for name in ("src", "href", "srcset", "data", "action")]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses if address)
    assert not re.search(r"https?://|url\(|@import|//cdn", re.sub(r'src="data:[^"]*"', "", page))


def test_the_policy_forbids_requests_and_scripts(page: str) -> None:
    policies = [one["content"] for one in Page(page).all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in str(policies[0])
    assert not any("style" in attributes or name == "script" for name, attributes in Page(page).tags)


def test_every_picture_has_an_alternative_text_and_a_caption(page: str, summary: Summary) -> None:
    pictures = Page(page).all("img")
    assert len(pictures) == 2 + len(summary.preprocessing.pictures) + len(summary.sections)
    assert all(len(str(one["alt"])) > 20 for one in pictures)
    assert len(Page(page).all("figcaption")) == len(pictures)


def test_every_figure_of_a_simulation_is_stamped(page: str) -> None:
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert all('class="stamp">Simulation' in caption for caption in captions)


def test_tables_have_captions_and_scopes(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all(one.get("scope") in {"row", "col"} for one in parsed.all("th"))


def test_headings_do_not_skip_a_level(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(page).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_verdict_comes_first(page: str) -> None:
    assert page.index("Does the model beat its baselines?") < page.index("Who was studied")
    assert page.index("Loses 2 of 3") < page.index("Who was studied")


def test_the_same_summary_gives_the_same_page(summary: Summary, page: str) -> None:
    assert render_html(summary) == page


def test_a_page_without_findings_says_so(built: Workspace) -> None:
    text = render_html(summarise(built, run="another"))
    assert text.count("Not run") == 5
    assert "There is no model &#39;another&#39; in this workspace yet." in text


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_and_nothing_is_cut_off(page: str, tmp_path: Path, width: int) -> None:
    if not CHROMIUM.is_file():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
        tab = context.new_page()
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(path.as_uri())
        outcome = Axe().run(tab)
        overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert outcome.violations_count == 0, outcome.generate_report()
    assert overflow <= 0
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
