"""``mmdx data card SOURCE``: the card of a data set, for people and as Croissant JSON-LD, with counts from the data itself."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdx.commands.hydra_app import telling
from mmdx.errors import InputError

if TYPE_CHECKING:
    from mmdx.data.cards.count import Counts
    from mmdx.data.cards.source import Source

DESCRIPTION = """\
Write NAME.md, for people, and NAME.json, Croissant JSON-LD, from one source, NAME.yaml.

SOURCE is the name of a data set alone, such as covid_cxr, which counts nothing; Hydra overrides, such as
data=covid_cxr data.root=FOLDER, which count the data; or a manifest, alone or with overrides. The source is NAME.yaml in the
folder of --out, else the one that comes with mmdx. Where there is neither, as with a manifest of your own, NAME.yaml is
written first, with what you have to fill in marked TO FILL."""
OWN = {"manifest": "path", "folder": "root"}
"""Data sets that hold a user's own data, by what names them: their cards are called after that."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("mmdx data card", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="a name, a manifest, or Hydra overrides")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where the card is written (default: the current folder)")
    parser.add_argument("--small-cells", action="store_true", help="show groups of fewer than 5 patients too")
    given = parser.parse_intermixed_args()
    telling(lambda: card(given.source, given.out, given.small_cells))


def card(words: list[str], out: Path, small_cells: bool = False) -> None:
    """Write a card.

    Args:
        words: the source, as typed.
        out: folder that it is written to.
        small_cells: whether to show groups of fewer than 5 patients.

    Raises:
        InputError: for whatever is wrong with the source, the data, or a file that is in the way.
    """
    from mmdx.data.cards.croissant import croissant
    from mmdx.data.cards.markdown import markdown
    from mmdx.data.cards.source import GAP
    from mmdx.files import write_json, write_text

    source, counts = _known(words[0], out) if _is_name(words) else _counted(words, out, small_cells)
    jsonld = croissant(source, counts)
    checked = _checked(jsonld)
    text, data = _targets(source.name, out)
    write_text(text, markdown(source, counts))
    write_json(data, jsonld)
    print(f"{text}\n{data}: {checked}")
    if gaps := source.gaps():
        print(f"{len(gaps)} values in {source.name}.yaml are still to be filled in; they begin with {GAP}.")


def _is_name(words: list[str]) -> bool:
    word = Path(words[0])
    return len(words) == 1 and "=" not in words[0] and word.name == words[0] and not word.suffix and not word.is_file()


def _known(name: str, out: Path) -> tuple[Source, None]:
    """The source of a card alone."""
    from mmdx.data.cards.reading import find_source, names_of_cards, read_source

    if (path := find_source(name, out)) is None:
        cards = ", ".join(names_of_cards())
        raise InputError(f"SOURCE={name}: no card of that name. There are: {cards}. For data of your own give a manifest, such as cohort.csv.")
    return read_source(path), None


def _counted(words: list[str], out: Path, small_cells: bool) -> tuple[Source, Counts]:
    """The source of a card, written first where there is none, and the counts."""
    from mmdx.commands.data_leakage import config_of
    from mmdx.data.cards.count import count
    from mmdx.data.cards.groups import SMALL
    from mmdx.data.cards.reading import find_source, read_source
    from mmdx.data.cards.skeleton import skeleton
    from mmdx.files import write_text
    from mmdx.parts import dataset_from

    cfg = config_of(words)
    kind = str(cfg.data.get("name") or "data")
    name = Path(str(cfg.data[OWN[kind]])).expanduser().resolve().stem if kind in OWN else kind
    own = out / f"{name}.yaml"
    _targets(name, out)
    dataset = dataset_from(cfg)
    path = own if kind in OWN else find_source(name, out) or own
    if not path.is_file():
        write_text(path, skeleton(dataset, name))
        print(path)
    source = read_source(path)
    counts = count(dataset, source, _how(words), 1 if small_cells else SMALL, _tell)
    _tell(0, 0)
    return source, counts


def _how(words: list[str]) -> str:
    """The words without folders, which are nobody's business."""
    shown = [Path(words[0]).name if "=" not in words[0] else words[0], *words[1:]]
    return shlex.join(word for word in shown if not word.lstrip("+").startswith(("data.root=", "data.path=")))


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty() and (done % 20 == 0):
        print(f"\r\x1b[K{f'reading {done} of {of}' if of else ''}", end="", file=sys.stderr, flush=True)


def _checked(jsonld: dict[str, Any]) -> str:
    """What mlcroissant says of the card, where it is installed."""
    from mmdx.data.cards.croissant import validate

    if importlib.util.find_spec("mlcroissant") is None:
        return "not checked; that needs mlcroissant: pip install 'mmdx[cards]'"
    warnings = validate(jsonld)
    return "\n  ".join([f"valid by mlcroissant, {len(warnings)} warnings", *warnings])


def _targets(name: str, out: Path) -> tuple[Path, Path]:
    """The two files of a card.

    Raises:
        InputError: where one is there that this command didn't make.
    """
    from mmdx.data.cards.croissant import CONFORMS
    from mmdx.data.cards.markdown import MARK

    text, data = out / f"{name}.md", out / f"{name}.json"
    for path in (text, data):
        if not path.exists():
            continue
        try:
            written = path.read_text(encoding="utf-8")
            ours = written.startswith(MARK) if path == text else json.loads(written)["conformsTo"] == CONFORMS
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise InputError(f"{path}: is there and is no card that mmdx data card made. Move it, or give another folder with --out.")
    return text, data


if __name__ == "__main__":
    main()
