"""The page and the files beside it: whole, the same each time, and without anything that loads."""

import base64
import csv
import hashlib
import json
import re
from itertools import pairwise

import pytest
from made_run import small_report
from parsed_page import Page
from PIL import Image

from mmdx.report.plots.style import VARIABLES
from mmdx.report.write import write_report


@pytest.fixture(scope="module")
def folder():
    return small_report()


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_every_chapter_is_there_in_order(text):
    names = re.findall(r'<section id="([a-z]+)" class="chapter"', text)
    assert names == ["summary", "discrimination", "probabilities", "abstention", "modalities", "groups", "data", "cases"]


def test_headings_are_in_order(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_ids_are_unique_and_references_meet(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    named = {part for _, a in page.elements for key in ("aria-labelledby", "for") if key in a for part in a[key].split()}
    named |= {a["href"][1:] for tag, a in page.elements if tag == "a"}
    named |= {a["xlink:href"][1:] for tag, a in page.elements if "xlink:href" in a}
    assert named <= set(ids)


def test_nothing_is_loaded_from_anywhere(page, text):
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "source"), tag
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/", "data:audio/")), (tag, name)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style


def test_only_its_own_script_may_run(page):
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    data, own = page.scripts
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy and "unsafe-eval" not in policy
    assert len(json.loads(data)) == 6


def test_the_same_run_gives_the_same_files_and_the_page_can_lie_elsewhere(folder, text, tmp_path):
    files = {f: f.read_bytes() for part in ("figures", "tables") for f in sorted((folder / part).iterdir())}
    assert write_report(folder, tmp_path / "deep" / "page.html") == tmp_path / "deep" / "page.html"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["page.html"]
    assert (tmp_path / "deep" / "page.html").read_text(encoding="utf-8") == text
    assert all(f.read_bytes() == content for f, content in files.items())


def test_figures_are_files_for_papers(folder, text):
    names = re.findall(r'<figure id="figure-([a-z_]+)"', text)
    assert {"roc", "precision_recall", "reliability", "decision_curve", "risk_coverage", "conformal", "subsets", "differences"} <= set(names)
    assert {"shapley", "missingness", "noise", "groups_auroc"} <= set(names)
    for name in names:
        with Image.open(folder / "figures" / f"{name}.png") as picture:
            assert round(picture.info["dpi"][0]) == 300
            assert picture.width == 1500
        svg = (folder / "figures" / f"{name}.svg").read_text(encoding="utf-8")
        assert "<text" in svg and "Helvetica" in svg
    assert sorted(f.name for f in (folder / "figures").iterdir()) == sorted(f"{n}.{e}" for n in names for e in ("png", "svg"))


def test_drawings_follow_the_theme_and_have_names(text):
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == text.count("<figure ")
    for drawing in drawings:
        assert 'role="img"' in drawing and "<title" in drawing and "<desc" in drawing
        assert not any(colour in drawing for colour in VARIABLES)
        assert not set(re.findall(r"#[0-9a-f]{6}\b", drawing)), set(re.findall(r"#[0-9a-f]{6}\b", drawing))
        assert "var(--" in drawing and "<text" in drawing and "DejaVu" not in drawing


def test_captions_tell_numbers_and_intervals(text):
    for caption in re.findall(r"<figcaption>(.*?)</figcaption>", text, re.DOTALL):
        assert "95\u00a0%" in caption
        assert "n = " in caption or "number of its rows" in caption


def test_tables_hold_unrounded_numbers(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    with (folder / "tables" / "discrimination.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = next(r for r in rows if r["modalities"] == "Audio, image and text" and r["measure"] == "AUROC")
    expected = metrics["test"][metrics["full"]]["auroc"]
    assert [float(found[c]) for c in ("value", "low", "high")] == [expected[c] for c in ("value", "low", "high")]
    assert (found["unit"], int(found["n"])) == ("patient", expected["n"])


def test_small_groups_are_named_and_have_no_numbers(folder, text):
    assert "Too small to judge (fewer than 20 patients)" in text
    with (folder / "tables" / "groups.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file)]
    row = next(r["row"] for r in rows if r["value"] == "harbour")
    assert [r["value"] for r in rows if r["row"] == row][2:] == ["too small"] + [""] * 6
