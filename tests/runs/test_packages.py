"""The lock file: one wheel has one hash on every machine, an edited file another, and no folder of the machine is in it."""

import hashlib
import json
from base64 import urlsafe_b64encode
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from mmdx.runs.packages import Installed, _line, digest, installed, lock, needed_by, normal, read_lock

FILES = {
    "thing/__init__.py": b"x = 1\n",
    "thing/data.txt": b"words\n",
    "thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n",
}


def record(extra=""):
    lines = [f"{name},sha256={urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b'=').decode()},{len(text)}" for name, text in FILES.items()]
    return "\n".join([*lines, extra, "thing-1.0.dist-info/RECORD,,"]) + "\n"


def install(folder, extra=""):
    """As pip leaves a wheel, its RECORD last."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    (folder / "thing-1.0.dist-info" / "RECORD").write_text(record(extra))
    return PathDistribution(folder / "thing-1.0.dist-info")


def test_a_wheel_has_one_hash_wherever_it_is_installed_and_whatever_scripts_it_gets(tmp_path):
    one = digest(install(tmp_path / "a"))
    script = "../../../bin/thing,sha256=AAAA,10\nthing-1.0.dist-info/INSTALLER,sha256=zuuue4knoyJ-UwPPXg8fezS7VCrXJQrAP7zeNuwvFQg,4"
    assert digest(install(tmp_path / "b", script)) == one


@pytest.mark.parametrize("text", [b"x = 2\n", b"x = 10\n", None], ids=["same size", "other size", "gone"])
def test_an_edited_file_gives_another_hash_though_the_record_is_the_same(tmp_path, text):
    import os

    package = install(tmp_path)
    before, path = digest(package), tmp_path / "thing" / "__init__.py"
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
        later = (tmp_path / "thing-1.0.dist-info" / "RECORD").stat().st_mtime + 60
        os.utime(path, (later, later))
    assert digest(package) != before


ORIGINS = {
    "from an index": ({}, "thing==1.0"),
    "of a repository": (
        {"url": "https://user:secret@host.org/thing.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "thing @ git+https://host.org/thing.git@abc",
    ),
    "an archive by its address": (
        {"url": "https://host.org/thing.whl", "archive_info": {"hashes": {"sha256": "ff"}}}, "thing @ https://host.org/thing.whl#sha256=ff",
    ),
    "an archive from a folder": (
        {"url": "file:///home/anna/thing.whl", "archive_info": {"hashes": {"sha256": "ff"}}}, "# thing==1.0 from an archive, sha256:ff",
    ),
    "editable": ({"url": "file:///home/anna/thing", "dir_info": {"editable": True}}, "# thing==1.0 from a folder, editable"),
}


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_line_of_the_lock_says_where_a_package_is_from_without_a_folder_or_a_password(origin):
    found, line = ORIGINS[origin]
    assert _line("thing", "1.0", found) == line


def test_the_lock_has_every_package_and_is_read_back():
    packages = installed()
    text = lock(packages)
    assert read_lock(text) == {normal(package.name): package.files for package in packages if package.files}
    assert any(line.startswith("torch==") for line in text.splitlines())
    assert str(Path.home()) not in text and "file:" not in text


def test_pip_reads_the_lock_as_requirements(tmp_path):
    from packaging.requirements import Requirement

    text = lock([Installed("thing", "1.0", "a" * 64, "thing==1.0"), Installed("other", "2", None, "# other==2 from a folder")])
    lines = [line.partition(" #")[0].strip() for line in text.splitlines() if not line.startswith("#")]
    assert [str(Requirement(line)) for line in lines] == ["thing==1.0"]


def test_what_mmdx_needs_itself_comes_before_what_that_needs():
    depth = needed_by("mmdx")
    assert depth["torch"] == 1 and depth["jinja2"] >= 1 and depth["sympy"] == 2


def test_direct_url_that_is_no_object_is_passed_over(tmp_path):
    package = install(tmp_path)
    (tmp_path / "thing-1.0.dist-info" / "direct_url.json").write_text(json.dumps(["no"]))
    from mmdx.runs.packages import _installed

    assert _installed(package, "thing", "1.0").line == "thing==1.0"
