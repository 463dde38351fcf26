"""The page: chapters and cases put into one file that loads nothing and runs nothing but its own script."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mmdx.errors import InputError
from mmdx.report.cases import CaseList
from mmdx.report.parts import Block, Chapter
from mmdx.report.tables import shown
from mmdx.report.wording import broken, digits_of, number

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def page_of(name: str, facts: str, stress: str, chapters: list[Chapter], cases: CaseList | None) -> str:
    """The report as HTML.

    Args:
        name: what stands at its head.
        facts: a line on what is reported.
        stress: the command that makes cases, "" where none can.
        chapters: their drawings with ``svg``.
        cases: None where there are none.

    Raises:
        InputError: where Jinja2 is not installed.
    """
    try:
        from markupsafe import Markup
    except ImportError:
        raise InputError("the report needs Jinja2: pip install 'mmdx[report]'") from None
    script = _template("report.js").strip()
    page = environment().get_template("report.html.j2").render(
        name=name,
        facts=facts,
        stress=stress,
        chapters=[{"name": c.name, "title": c.title, "grouped": _grouped(c.blocks)} for c in chapters],
        cases=cases,
        index=Markup(json_for_page(cases.index)) if cases else "",
        policy=policy(script),
        style=Markup(_template("report.css").strip()),
        script=Markup(script),
    )
    return page.lstrip().encode("utf-8", "replace").decode("utf-8")


def environment() -> Environment:
    """Jinja2 with everything escaped that is not said to be markup.

    Raises:
        InputError: where Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError:
        raise InputError("the report needs Jinja2: pip install 'mmdx[report]'") from None
    made = Environment(loader=FunctionLoader(_template), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["nb"] = lambda text: str(text).replace(" %", "\u00a0%")
    made.filters["breaks"] = lambda text: with_breaks([str(text)])[0]
    made.globals |= {"with_breaks": with_breaks, "shown": shown, "num": number, "digits_of": digits_of}
    return made


def with_breaks(texts: Iterable[str]) -> list[Markup]:
    """Texts that stand one after the other, escaped, with places where a line may be broken inside overlong words."""
    from markupsafe import Markup

    return [Markup("<wbr>").join(pieces) for pieces in broken(texts)]


def policy(script: str) -> str:
    """The content security policy: nothing is loaded, pictures and sounds are in the file, and only this script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def json_for_page(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element or a line of script."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _template(name: str) -> str:
    return (files("mmdx.report") / "templates" / name).read_text(encoding="utf-8")


def _grouped(blocks: list[Block]) -> list[tuple[str, list[Any]]]:
    """Neighbours of one kind together, so that figures stand side by side."""
    from markupsafe import Markup

    grouped = []
    for kind, own in groupby(blocks, key=lambda block: block.kind):
        rows: list[Any] = list(own)
        if kind == "drawing":
            rows = [{"name": d.name, "title": d.title, "caption": d.caption, "svg": Markup(d.svg)} for d in rows]
        grouped.append((kind, rows))
    return grouped
