"""The page in Chromium: sort, filter, step, play, theme; without scripts; accessible; and nothing of the data runs."""

import json
import re

import pytest
from browser import axe, chromium, opened
from made_run import made_run, small_report

from mmdx.report import write
from mmdx.report.write import write_report

NOTE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'> \"q\" 'q' \u202eRTL \u2066" + "word " * 20_000
NAME = "<b onmouseover=window.broken=1>\u202e</b></script><script>window.broken=1</script>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def file():
    return small_report() / "report.html"


@pytest.fixture
def page(browser, file):
    with opened(browser, file) as shown:
        yield shown


def listed(page):
    return page.locator("#case-list button bdi").all_text_contents()


def current(page):
    assert page.locator(".case:visible").count() == 1
    return page.locator(".case.current h3").inner_text()


def until(page, condition):
    """Wait until a condition holds; the page's policy forbids Playwright's own way of waiting, which evaluates text."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(condition)


def test_sorting_and_filtering(page):
    index = json.loads(page.locator("#case-index").text_content())
    assert listed(page) == [own["id"] for own in index]
    for order, key, sign in (("error", "error", -1), ("sure", "confidence", -1), ("unsure", "confidence", 1)):
        page.select_option("#sort", order)
        expected = [own["id"] for own in sorted(index, key=lambda own, key=key, sign=sign: sign * own[key])]
        assert listed(page) == expected
        assert current(page) == expected[0]
    page.select_option("#sort", "disagreement")
    assert listed(page)[0] == max((o for o in index if o["disagreement"] is not None), key=lambda o: o["disagreement"])["id"]
    page.select_option("#sort", "listed")
    page.select_option("#target", "positive")
    assert listed(page) == [own["id"] for own in index if own["target"] == "positive"]
    page.select_option("#target", "")
    outcome = index[0]["outcome"]
    page.select_option("#outcome", outcome)
    assert listed(page) == [own["id"] for own in index if own["outcome"] == outcome]
    page.select_option("#outcome", "wrong")
    assert listed(page) == [own["id"] for own in index if own["outcome"].startswith("false")]
    page.select_option("#outcome", "")
    page.fill("#search", "0004")
    assert listed(page) == ["test-0004"]
    page.fill("#search", "nobody")
    assert page.locator("#place").inner_text() == "no case fits"
    assert page.locator(".case:visible").count() == 0


def test_stepping_by_buttons_and_keys(page):
    assert page.locator("#previous").is_disabled()
    page.click("#next")
    assert (current(page), page.locator("#place").inner_text()) == ("test-0001", "2 of 6")
    page.keyboard.press("j")
    assert current(page) == "test-0002"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("k")
    page.keyboard.press("ArrowLeft")
    assert current(page) == "test-0001"
    page.click("#case-list li:nth-child(6) button")
    assert current(page) == "test-0005"
    assert page.locator("#next").is_disabled()
    page.focus("#search")
    page.keyboard.type("k")
    assert page.locator("#search").input_value() == "k"
    page.fill("#search", "")
    page.focus("#theme")
    page.keyboard.press("j")
    assert current(page) == "test-0000"


def test_a_link_opens_its_case(browser, file):
    with opened(browser, file) as page:
        page.evaluate("location.hash = '#case-4'")
        until(page, "document.querySelector('.case.current').id === 'case-4'")


def test_sounds_play(page):
    page.click("#case-list li:nth-child(1) button")
    while not page.locator(".case.current audio").count():
        page.click("#next")
    sound = page.locator(".case.current audio")
    assert sound.evaluate("a => a.readyState") == 0
    sound.evaluate("a => { a.muted = true; return a.play(); }")
    until(page, "document.querySelector('.case.current audio').currentTime > 0.05")
    assert sound.evaluate("a => a.duration") == pytest.approx(8, abs=0.4)
    handle = sound.element_handle()
    page.click("#next" if page.locator("#next").is_enabled() else "#previous")
    assert handle.evaluate("a => a.paused")


def test_the_attribution_is_shown_and_hidden(page):
    overlay, toggle = page.locator(".case.current .overlay"), page.locator(".case.current .toggle")
    assert overlay.is_visible()
    toggle.uncheck()
    assert not overlay.is_visible()
    assert all(page.locator(".toggle").evaluate_all("all => all.map(t => !t.checked)"))


def test_pictures_are_decoded(page):
    for picture in page.locator(".case.current img").all():
        picture.evaluate("async i => { i.loading = 'eager'; await i.decode(); }")
        assert picture.evaluate("i => i.naturalWidth") > 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_system_and_the_button(browser, file, theme):
    def ground():
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3])) > 384

    with opened(browser, file, theme=theme) as page:
        assert ground() == (theme == "light")
        page.click("#theme")
        assert ground() == (theme == "dark")
        assert page.locator("#theme").inner_text() == ("Light theme" if theme == "light" else "Dark theme")
        ink = page.evaluate("getComputedStyle(document.querySelector('#figure-roc text')).fill")
        assert (sum(map(int, re.findall(r"\d+", ink)[:3])) > 384) == (theme == "light")


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_without_scripts_everything_is_there(browser, file, size):
    with opened(browser, file, size=size, scripts=False) as page:
        assert page.locator(".case > summary:visible").count() == 6
        assert not page.locator("#case-tools").is_visible()
        assert not page.locator("#theme").is_visible()
        first = page.locator("#case-1")
        assert first.locator(".overlay").is_visible()
        first.locator(".toggle").uncheck()
        assert not first.locator(".overlay").is_visible()
        page.locator("#case-3 summary").click()
        assert page.locator("#case-3 .verdicts").is_visible()
        page.locator("summary", has_text="Config (config.yaml)").click()
        assert page.locator("pre", has_text="mmdx.fusion.gated.Gated").is_visible()


@pytest.mark.parametrize("size", ["desk", "phone"])
def test_the_page_does_not_scroll_sideways(browser, file, size):
    with opened(browser, file, size=size) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        shown = "[...document.querySelectorAll('figure, p, h1, h2, h3, dl, button, select')].filter(e => !e.closest('.scroll, #case-list'))"
        assert page.evaluate(f"{shown}.filter(e => e.getBoundingClientRect().right > innerWidth + 1).length") == 0


def test_everything_is_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    scrolling = "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX === 'auto')"
    assert page.evaluate(f"{scrolling}.every(e => e.tabIndex === 0)")


def test_print_has_cases_that_are_open_and_no_controls(page):
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("#case-tools").is_visible()
    assert not page.locator("nav").is_visible()
    assert page.locator(".case:visible").count() == 1
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.querySelector('#figure-roc text')).fill") == "rgb(28, 32, 38)"


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        ("desk", "light"),
        ("phone", "dark"),
        pytest.param("desk", "dark", marks=pytest.mark.slow),
        pytest.param("phone", "light", marks=pytest.mark.slow),
    ],
)
def test_axe_finds_no_serious_fault(browser, file, size, theme):
    with opened(browser, file, size=size, theme=theme, bypass_csp=True) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        page.evaluate(axe())
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert not [(v["id"], v["impact"], [n["target"] for n in v["nodes"]][:5]) for v in found["violations"]]


def test_hostile_names_and_notes_run_nothing(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "DPI", 20)
    folder = made_run(tmp_path / "run", cases=4, n=120, note=NOTE, rename={f"test-000{k}": f"{NAME}{k}" for k in range(4)})
    with opened(browser, write_report(folder)) as page:
        for _ in range(3):
            page.click("#next")
        page.hover(".case.current h3")
        assert page.evaluate("window.broken") is None
        assert current(page).replace("\u202e", "") == f"{NAME}3".replace("\u202e", "")
        note = page.locator(".note").first
        assert note.evaluate("n => n.textContent").startswith(NOTE[:400])
        assert len(note.evaluate("n => n.textContent")) > 100_000
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_word_of_a_hundred_thousand_characters_is_laid_out_as_quickly_as_words(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "CHAPTERS", ())
    spent = {}
    for name, note in (("words", "AAAA AAAA " * 10_000), ("word", "A" * 50_000 + "&" * 50_000)):
        folder = made_run(tmp_path / name, cases=1, n=60, whole=False, note=note)
        with opened(browser, write_report(folder)) as page:
            shown = page.locator(".note").first
            assert shown.evaluate("n => n.textContent").startswith(note)
            spent[name] = page.evaluate("(() => { const t = performance.now(); document.body.style.width = '60%'; "
                                        "document.body.offsetHeight; return performance.now() - t; })()")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert spent["word"] < 10 * spent["words"] + 200


def test_a_script_that_slipped_in_would_not_run(browser, file, tmp_path):
    broken = tmp_path / "broken.html"
    bad = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'></body>"
    broken.write_text(file.read_text(encoding="utf-8").replace("</body>", bad), encoding="utf-8")
    page = browser.new_page()
    page.goto(broken.as_uri())
    assert page.locator("#place").inner_text() == "1 of 6"
    assert page.evaluate("window.broken") is None
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("padding", [0, 40_000])
def test_three_hundred_cases_fit_and_open_quickly(browser, tmp_path, padding):
    folder = made_run(tmp_path / "run", cases=300)
    for film in (folder / "cases").rglob("*.jpg"):
        film.write_bytes(film.read_bytes() + bytes(padding))  # what follows the end of a JPEG is passed over
    file = write_report(folder)
    assert file.stat().st_size <= 15e6
    with opened(browser, file) as page:
        assert page.locator("#place").inner_text() == "1 of 300"
        assert page.get_by_text("Some files are left out so that the page stays below 15 MB").is_visible() == bool(padding)
        page.select_option("#sort", "error")
        spent = page.evaluate("(() => { const t = performance.now(); document.getElementById('next').click(); return performance.now() - t; })()")
        assert spent < 500
