"""Facts about the table of methods: it is made from the code, the page holds it, and a method is one file and one YAML."""

import json
import re
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mmdx import methods
from mmdx.commands import methods as command
from mmdx.commands.hydra_app import config_folder
from mmdx.methods import markdown, table

ROOT = Path(__file__).resolve().parent.parent.parent
PATHS = sorted((Path(config_folder()) / "fusion").glob("*.yaml"))


@pytest.fixture(scope="module")
def rows():
    found, faults = table(config_folder())
    assert not faults
    return found


def test_every_fusion_is_in_it_and_says_what_it_is(rows):
    assert {path.stem for path in PATHS} <= {row.name for row in rows}
    for row in rows:
        if row.name in {path.stem for path in PATHS}:
            assert row.family and row.absence in ("design", "masking") and re.search(r"\d{4}", row.paper) and row.parameters > 0, row


def test_the_page_holds_the_table(rows):
    ours = [row for row in rows if row.name in {path.stem for path in PATHS}]
    page = (ROOT / "docs" / "fusion.md").read_text(encoding="utf-8")
    assert markdown(ours) in page, "docs/fusion.md: put in what `mmdx methods --markdown` prints"


def test_parameters_and_operations_are_those_of_the_formula(rows):
    """Concatenation of 512 and 384: two norms, two stand-ins, a layer of 128, an output of 1."""
    own = next(row for row in rows if row.name == "concat")
    assert own.parameters == 3 * (512 + 384) + (512 + 384 + 1) * 128 + 129
    assert own.megaflops == pytest.approx(2 * ((512 + 384) * 128 + 128) / 1e6)


def test_the_command_prints_it(rows, capsys, monkeypatch):
    monkeypatch.setattr("mmdx.methods.table", lambda folder: (rows, []))
    monkeypatch.setattr(sys, "argv", ["mmdx methods", "--json"])
    command.main()
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [row.name for row in rows]
    monkeypatch.setattr(sys, "argv", ["mmdx methods"])
    command.main()
    told = capsys.readouterr().out
    assert "reads" in told.splitlines()[0] and "missing=learned_tokens" in told and "alignment=infonce" in told


def test_a_plug_in_that_fails_does_not_hide_the_others(capsys, monkeypatch):
    monkeypatch.setattr("mmdx.methods.fusions", lambda folder: ["broken", "sum"])
    ours = methods.described
    monkeypatch.setattr("mmdx.methods.described", lambda name, folder: ours(name, folder) if name == "sum" else [][1])
    monkeypatch.setattr(sys, "argv", ["mmdx methods"])
    with pytest.raises(SystemExit) as end:
        command.main()
    out, err = capsys.readouterr()
    assert end.value.code == 1 and "sum  " in out and "1 of 2 fusions cannot be described: fusion=broken: IndexError: list index" in err


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_method_is_one_file_and_one_yaml(path):
    """Nothing else under mmdx/ or conf/ names its module, but YAMLs of its family."""
    module = OmegaConf.load(path)["_target_"].rpartition(".")[0]
    own = ROOT / (module.replace(".", "/") + ".py")
    assert own.is_file()
    for other in [*(ROOT / "mmdx").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")]:
        if other != own and other.parent != path.parent:
            assert not re.search(rf"\b{re.escape(module)}\b", other.read_text(encoding="utf-8")), f"{other} names {module}"
