"""Which code a run was done with: changes of code are shown, of anything else only counted; a git that isn't mmdx's own says nothing."""

import subprocess

import pytest

from mmdx.runs.revision import changes, code_hash, home, revision


def git(folder, *words):
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "__init__.py").write_text("x = 1\n")
    (tmp_path / "notes.csv").write_text("id,note\n1,cough\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return folder


def test_a_clean_checkout_has_a_commit_and_no_diff(package):
    found = revision(package)
    assert len(found["commit"]) == 40 and found["changed"] is False and changes(package) is None


def test_the_diff_shows_code_and_never_what_a_table_of_notes_says(package):
    (package / "__init__.py").write_text("x = 2\n")
    (package.parent / "notes.csv").write_text("id,note\n1,Mrs Miller coughs blood\n")
    text = changes(package)
    assert revision(package)["changed"] and "+x = 2" in text
    assert "Miller" not in text and "notes" not in text and "1 files that are neither code nor config" in text


def test_a_long_diff_is_cut_and_says_so(package):
    (package / "__init__.py").write_text("".join(f"x{i} = {i}\n" for i in range(2000)))
    text = changes(package, limit=4000)
    assert len(text) < 4200 and "4000 are kept" in text


def test_a_package_below_a_checkout_that_does_not_track_it_has_no_revision(package):
    other = package.parent / "venv" / "other"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    assert revision(other) is None and changes(other) is None


def test_the_hash_of_the_code_sees_a_file_that_git_does_not_know(package):
    before = code_hash(package)
    (package / "more.py").write_text("y = 1\n")
    assert code_hash(package) != before and revision(package)["changed"] is False


def test_mmdx_has_a_hash_of_its_code_and_its_configs():
    assert len(code_hash()) == 64 and code_hash() != code_hash(home())
