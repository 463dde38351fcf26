import contextlib
import errno
import hashlib
import http.server
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest

from mmdx.data.fetch import download as downloading
from mmdx.data.fetch import whole
from mmdx.data.fetch.catalogue import ENTRIES, Entry, Remote, find
from mmdx.data.fetch.http import _Redirects, shown
from mmdx.data.fetch.whole import fetch
from mmdx.errors import InputError

BODY = bytes(range(251)) * 8000  # 2 MB that no offset repeats exactly


class Server:
    """An HTTP server on the loopback address whose faults a test sets."""

    def __init__(self):
        self.files, self.ranges, self.tag, self.drops, self.codes = {}, True, True, [], []
        self.asked, self.hold, self.lies, self.redirects = [], None, False, {}
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                with contextlib.suppress(ConnectionError):  # the client was killed
                    server.answer(self)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path, wanted, handler.headers.get("If-Range")))
        handler.close_connection = True
        if handler.path in self.redirects:
            return self.plain(handler, 302, {"Location": self.redirects[handler.path]})
        if self.codes:
            return self.plain(handler, self.codes.pop(0), {})
        if handler.path not in self.files:
            return self.plain(handler, 404, {})
        body = self.files[handler.path]
        tag = '"' + hashlib.md5(body).hexdigest() + '"'
        start = 0
        if self.ranges and wanted and handler.headers.get("If-Range") in (tag, None):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.plain(handler, 416, {})
            handler.send_response(206)
            if self.lies:  # the whole file, called a part
                start, self.lies = 0, False
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            handler.send_response(200)
        if self.tag:
            handler.send_header("ETag", tag)
        handler.send_header("Content-Length", str(len(body) - start))
        handler.end_headers()
        stop = self.drops.pop(0) if self.drops else len(body)
        for at in range(start, len(body), 50_000):
            if at >= stop:
                handler.wfile.flush()
                return None
            handler.wfile.write(body[at : min(at + 50_000, stop)])
            if self.hold and at >= 500_000:
                handler.wfile.flush()
                self.hold.wait(20)
        return None

    def plain(self, handler, code, headers):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloading, "BACKOFF", 0.01)
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def zipped(files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return memory.getvalue()


def tarred(members):
    """A .tar.gz of (TarInfo or name, content) pairs."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for info, content in members:
            info = info if isinstance(info, tarfile.TarInfo) else tarfile.TarInfo(info)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return memory.getvalue()


GOOD = {"top/a.csv": b"x,1\n", "top/wav/b.wav": os.urandom(1 << 20), "top/wav/c.wav": os.urandom(1 << 20)}
SUM = "sha256:" + hashlib.sha256(BODY).hexdigest()


def entry(server, *, body=None, kind="zip", checksum=None, name="mini", **more):
    server.files["/file"] = zipped(GOOD) if body is None else body
    remote = Remote(server.url + "/file", kind, None, checksum, "file.bin", strip=0 if kind == "plain" else 1)
    return Entry(name, "A small set", "CC0", "http://licence", "http://page", (remote,), f"data={name}", **more)


def quiet(_):
    return None


def get(made, to, **more):
    return fetch(made, to, tell=more.pop("tell", quiet), **more)


def is_whole(to, name="mini"):
    folder = to / name
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    source = json.loads(found.pop("SOURCE.json"))
    assert found == {path.removeprefix("top/"): content for path, content in GOOD.items()}
    assert source["name"] == name and source["licence"] == "CC0" and len(source["files"][0]["sha256"]) == 64 and source["date"]
    assert sorted(path.name for path in to.iterdir()) == [f".{name}.lock", name]
    return source


def is_absent(to, name="mini"):
    assert not os.path.lexists(to / name)


def test_a_set_is_fetched_with_its_record_and_a_second_command_asks_nothing(server, tmp_path):
    told = []
    made = entry(server)
    assert get(made, tmp_path, tell=told.append) == tmp_path / "mini"
    source = is_whole(tmp_path)
    assert source["files"][0]["sha256"] == hashlib.sha256(server.files["/file"]).hexdigest()
    assert source["files"][0]["bytes"] == len(server.files["/file"]) and source["files"][0]["checked_against"] is None
    assert any(source["files"][0]["sha256"] in sentence for sentence in told)  # no published sum: the user is told what came
    get(made, tmp_path)
    assert len(server.asked) == 1


# ---- the connection


@pytest.mark.parametrize("stop", [0, 700_000, len(BODY) - 1])
def test_a_dropped_connection_is_gone_on_with_from_where_it_was(server, tmp_path, stop):
    server.drops = [stop]
    get(entry(server, body=BODY, kind="plain", checksum=SUM), tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == BODY
    ranges = [wanted for _, wanted, _ in server.asked]
    assert ranges == [None, f"bytes={stop}-" if stop else None]


def test_three_drops_in_one_download(server, tmp_path):
    server.drops = [300_000, 900_000, 1_500_000]
    get(entry(server, body=BODY, kind="plain", checksum=SUM), tmp_path)
    assert [wanted for _, wanted, _ in server.asked] == [None, "bytes=300000-", "bytes=900000-", "bytes=1500000-"]
    assert all(mark for _, wanted, mark in server.asked if wanted)  # never without If-Range


def test_a_server_that_always_drops_leaves_nothing_and_the_next_command_goes_on(server, tmp_path):
    server.drops = [300_000] * 6
    made = entry(server)
    with pytest.raises(InputError, match=r"given up after 5 retries .*300 kB are kept"):
        get(made, tmp_path)
    is_absent(tmp_path)
    server.asked.clear()
    server.drops = []
    get(made, tmp_path)
    is_whole(tmp_path)
    assert server.asked[0][1] == "bytes=300000-"


@pytest.mark.parametrize("checksum", [None, SUM])
def test_a_server_without_ranges_is_begun_again(server, tmp_path, checksum):
    server.ranges, server.drops = False, [700_000, 1_200_000]
    get(entry(server, body=BODY, kind="plain", checksum=checksum), tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == BODY


def test_two_halves_are_never_joined_where_nothing_says_they_are_of_one_file(server, tmp_path):
    server.tag, server.drops = False, [700_000]
    get(entry(server, body=BODY, kind="plain"), tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == BODY and server.asked[1][1] is None


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_that_changed_in_between_is_begun_again(server, tmp_path, honest):
    server.drops = [300_000] * 6
    made = entry(server, body=BODY, kind="plain")
    with pytest.raises(InputError):
        get(made, tmp_path)
    server.files["/file"] = changed = BODY[::-1]
    server.drops = []
    if not honest:  # a server that answers 206 whatever If-Range says
        old = server.answer

        def deaf(handler):
            if handler.headers.get("Range"):
                handler.headers.replace_header("If-Range", '"' + hashlib.md5(changed).hexdigest() + '"')
            old(handler)

        server.answer = deaf
    get(made, tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == changed


def test_a_partial_answer_that_begins_elsewhere_is_not_believed(server, tmp_path):
    server.drops, server.lies = [300_000], True
    get(entry(server, body=BODY, kind="plain", checksum=SUM), tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == BODY


def test_a_file_that_is_shorter_now_is_begun_again(server, tmp_path):
    made, short = entry(server, body=BODY, kind="plain", checksum="sha256:" + hashlib.sha256(BODY[:200_000]).hexdigest()), BODY[:200_000]
    server.tag, server.drops = False, [300_000] * 6
    with pytest.raises(InputError):
        get(made, tmp_path)
    server.files["/file"], server.drops = short, []
    get(made, tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == short


def test_a_busy_server_is_tried_again_and_a_missing_file_is_not(server, tmp_path):
    made = entry(server)
    server.codes = [503, 429, 500]
    get(made, tmp_path / "one")
    is_whole(tmp_path / "one")
    del server.files["/file"]
    server.asked.clear()
    with pytest.raises(InputError, match="answered 404"):
        get(made, tmp_path / "two")
    assert len(server.asked) == 1
    is_absent(tmp_path / "two")


def test_a_server_that_falls_silent(server, tmp_path, monkeypatch):
    from mmdx.data.fetch import http as opening

    monkeypatch.setattr(opening, "TIMEOUT", 0.3)
    server.hold = threading.Event()
    made = entry(server, body=BODY, kind="plain", checksum=SUM)
    told = []

    def tell(sentence):
        told.append(sentence)
        server.hold = None

    get(made, tmp_path, tell=tell)
    assert "stopped answering" in told[0] and (tmp_path / "mini" / "file.bin").read_bytes() == BODY


def test_no_server_at_all(tmp_path, server):
    made = entry(server)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(InputError, match="given up after 5 retries"):
        get(made, tmp_path)
    is_absent(tmp_path)


# ---- the checksum


@pytest.mark.parametrize("kind", ["sha256", "md5", "git"])
def test_a_wrong_checksum_removes_the_part_and_says_both(server, tmp_path, kind):
    right = {
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "md5": hashlib.md5(BODY).hexdigest(),
        "git": hashlib.sha1(f"blob {len(BODY)}\0".encode() + BODY).hexdigest(),
    }[kind]
    get(entry(server, body=BODY, kind="plain", checksum=f"{kind}:{right}"), tmp_path / "right")
    wrong = "0" * len(right)
    with pytest.raises(InputError, match=f"{kind} of what came is {right}, expected {wrong}"):
        get(entry(server, body=BODY, kind="plain", checksum=f"{kind}:{wrong}"), tmp_path / "wrong")
    is_absent(tmp_path / "wrong")
    assert not [path for path in (tmp_path / "wrong").rglob("*") if path.is_file() and path.stat().st_size]


def test_a_part_that_was_damaged_on_disk_is_found_and_the_next_command_mends_it(server, tmp_path):
    made = entry(server, body=BODY, kind="plain", checksum=SUM)
    server.drops = [700_000] * 6
    with pytest.raises(InputError):
        get(made, tmp_path)
    part = next((tmp_path / ".mini.fetch").glob("*.part"))
    part.write_bytes(b"?" * part.stat().st_size)
    server.drops = []
    with pytest.raises(InputError, match="expected"):
        get(made, tmp_path)
    is_absent(tmp_path)
    get(made, tmp_path)
    assert (tmp_path / "mini" / "file.bin").read_bytes() == BODY


def test_the_sums_inside_an_archive_are_checked(server, tmp_path):
    lines = "".join(f"{hashlib.sha256(c).hexdigest()} {n.removeprefix('top/')}\n" for n, c in GOOD.items())
    told = []
    get(entry(server, body=zipped({**GOOD, "top/SUMS": lines}), sums="SUMS"), tmp_path / "one", tell=told.append)
    assert "3 files agree with SUMS." in told
    with pytest.raises(InputError, match="SUMS says"):
        get(entry(server, body=zipped({**GOOD, "top/a.csv": b"y", "top/SUMS": lines}), sums="SUMS"), tmp_path / "two")
    is_absent(tmp_path / "two")


def test_a_changed_layout_is_found(server, tmp_path):
    with pytest.raises(InputError, match=r"'REFERENCE.csv' is not in what was downloaded"):
        get(entry(server, expects=("REFERENCE.csv",)), tmp_path)
    is_absent(tmp_path)


# ---- the disk


def test_too_little_disk_is_said_before_a_byte_is_written(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(InputError, match=r"needs 2.1 MB and the disk has 100 kB left"):
        get(entry(server), tmp_path)
    is_absent(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


class Full:
    """A file whose writes fail once the disk, shared by all of them, holds so many bytes."""

    def __init__(self, handle, left):
        self.handle, self.left = handle, left

    def write(self, block):
        self.left[0] -= len(block)
        if self.left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.handle.write(block)

    def __getattr__(self, name):
        return getattr(self.handle, name)

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        self.handle.close()


@pytest.mark.parametrize(("room", "where"), [(600_000, "came in; the part is kept"), (2_600_000, "unpacked; the download is kept")])
def test_a_disk_that_fills_on_the_way_leaves_nothing_and_the_next_command_goes_on(server, tmp_path, monkeypatch, room, where):
    made, left, opened = entry(server), [room], Path.open

    def open_full(self, mode="r", *arguments, **more):
        handle = opened(self, mode, *arguments, **more)
        return Full(handle, left) if "b" in mode and "r" not in mode else handle

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(InputError, match=f"the disk is full while file.bin .*{where}"):
            get(made, tmp_path)
    is_absent(tmp_path)
    server.asked.clear()
    get(made, tmp_path)
    is_whole(tmp_path)
    assert all(wanted for _, wanted, _ in server.asked)  # nothing that was there came twice


def test_a_folder_that_cannot_be_written_is_one_sentence(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="mini was not fetched"):
        get(entry(server), tmp_path / "file" / "below")


# ---- kills and a second process

CHILD = """
import json, sys
from mmdx.data.fetch import unpack as unpacking
from mmdx.data.fetch.catalogue import Entry, Remote
from mmdx.data.fetch.whole import fetch
given = json.loads(sys.argv[1])
if given["stall"]:
    import time
    write = unpacking._write
    def slow(member, path, archive):
        if path.suffix == ".wav":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            print("stalled", flush=True)
            time.sleep(30)
        return write(member, path, archive)
    unpacking._write = slow
remote = Remote(given["url"] + "/file", "zip", None, None, "file.bin", strip=1)
made = Entry("mini", "A small set", "CC0", "http://licence", "http://page", (remote,), "data=mini")
fetch(made, given["to"], tell=lambda sentence: print(sentence, flush=True))
print("done", flush=True)
"""


def child(server, to, stall=False):
    given = json.dumps({"url": server.url, "to": str(to), "stall": stall})
    return subprocess.Popen([sys.executable, "-c", CHILD, given], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_kill_in_mid_download_leaves_nothing_and_the_next_command_goes_on(server, tmp_path):
    made = entry(server)
    server.hold = threading.Event()
    process = child(server, tmp_path)
    until(lambda: any(path.stat().st_size >= 500_000 for path in tmp_path.glob(".mini.fetch/*.part")))
    kill(process)
    is_absent(tmp_path)
    server.hold.set()
    server.hold = None
    server.asked.clear()
    get(made, tmp_path)
    assert is_whole(tmp_path)["files"][0]["sha256"] == hashlib.sha256(server.files["/file"]).hexdigest()
    assert int(server.asked[0][1].removeprefix("bytes=").removesuffix("-")) >= 500_000


def test_a_kill_in_mid_unpack_leaves_nothing_and_the_next_command_downloads_nothing(server, tmp_path):
    made = entry(server)
    process = child(server, tmp_path, stall=True)
    while "stalled" not in process.stdout.readline():
        assert process.poll() is None
    kill(process)
    is_absent(tmp_path)
    assert (tmp_path / ".mini.fetch" / "tree" / "a.csv").exists()
    server.asked.clear()
    get(made, tmp_path)
    is_whole(tmp_path)
    assert server.asked == []


def test_the_folder_appears_by_one_rename_with_its_record_in_it(server, tmp_path, monkeypatch):
    renamed, real = [], os.replace

    def watched(old, new):
        if tmp_path / "mini" in (Path(new), *Path(new).parents):
            assert not os.path.lexists(tmp_path / "mini") and (Path(old) / "SOURCE.json").is_file()
            renamed.append(Path(new))
        real(old, new)

    monkeypatch.setattr(os, "replace", watched)
    get(entry(server), tmp_path)
    is_whole(tmp_path)
    assert renamed == [tmp_path / "mini"]


@pytest.mark.parametrize("moment", ["_write_source", "remove", "_ready"])
def test_a_stop_at_any_later_step_is_whole_or_absent(server, tmp_path, monkeypatch, moment):
    made = entry(server)
    calls = []

    def stop(*_):
        calls.append(1)
        if moment != "remove" or os.path.lexists(tmp_path / "mini"):  # remove() is also called before anything is there
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(whole, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            get(made, tmp_path)
    assert os.path.lexists(tmp_path / "mini") == (moment == "remove")
    get(made, tmp_path)
    is_whole(tmp_path)
    assert len(server.asked) == 1


def test_a_second_process_waits_and_downloads_nothing(server, tmp_path):
    entry(server)
    server.hold = threading.Event()
    first = child(server, tmp_path)
    until(lambda: list(tmp_path.glob(".mini.fetch/*.part")))
    second = child(server, tmp_path)
    assert "Another process is fetching mini" in second.stdout.readline()
    server.hold.set()
    said, waited = first.communicate(timeout=20)[0], second.communicate(timeout=20)[0]
    assert first.returncode == second.returncode == 0 and "done" in said and "is there already" in waited
    assert len(server.asked) == 1
    is_whole(tmp_path)


def test_two_processes_at_once_and_one_is_killed(server, tmp_path):
    entry(server)
    server.hold = threading.Event()
    first = child(server, tmp_path)
    until(lambda: any(path.stat().st_size >= 500_000 for path in tmp_path.glob(".mini.fetch/*.part")))
    second = child(server, tmp_path)
    assert "Another process" in second.stdout.readline()
    kill(first)
    server.hold.set()
    second.communicate(timeout=20)
    assert second.returncode == 0 and server.asked[1][1]  # it went on with what the other had
    is_whole(tmp_path)


def test_waiting_has_an_end_where_one_is_given(server, tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".mini.lock"), pytest.raises(InputError, match="another process has been fetching it"):
        get(entry(server), tmp_path, wait=0.1)
    is_absent(tmp_path)


# ---- archives


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_link(name, to):
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return {info: to}


def zip_bomb():
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("top/zeros", bytes(70 << 20))
    return memory.getvalue()


def tar_liar():
    """A tar whose header claims 1 TB."""
    info = tarfile.TarInfo("top/huge")
    info.size = 1 << 40
    import gzip

    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def doubled():
    memory = io.BytesIO()
    with pytest.warns(UserWarning), zipfile.ZipFile(memory, "w") as opened:
        opened.writestr("top/a", b"1")
        opened.writestr("top/a", b"2")
    return memory.getvalue()


BAD = {
    "zip with ../": ("zip", lambda: zipped({"top/a": b"1", "top/../../out": b"2"}), "leads out"),
    "zip with an absolute path": ("zip", lambda: zipped({"/tmp/out": b"2"}), "absolute"),
    "zip with a drive": ("zip", lambda: zipped({"C:/out": b"2"}), "absolute"),
    "zip with a backslash": ("zip", lambda: zipped({"top\\..\\..\\out": b"2"}), "backslash|leads out"),
    "zip with a line break": ("zip", lambda: zipped({"top/a\nb": b"2"}), "control"),
    "zip with a link out": ("zip", lambda: zipped(zip_link("top/link", "../../out")), "is a link"),
    "zip with a link inside": ("zip", lambda: zipped({"top/a": b"1", **zip_link("top/link", "a")}), "is a link"),
    "zip with a name twice": ("zip", doubled, "twice"),
    "zip with a file below a file": ("zip", lambda: zipped({"top/a": b"1", "top/a/b": b"2"}), "below a file|twice"),
    "zip bomb": ("zip", zip_bomb, "refused as a trap"),
    "zip cut short": ("zip", lambda: zipped(GOOD)[:-100], "damaged"),
    "zip with a flipped byte": ("zip", lambda: zipped({"top/a": b"good" * 9}).replace(b"good", b"evil", 1), "damaged"),
    "not an archive": ("zip", lambda: b"<html>please log in</html>", "damaged"),
    "tar with ../": ("tar.gz", lambda: tarred([("top/a", b"1"), ("top/../../out", b"2")]), "leads out"),
    "tar with an absolute path": ("tar.gz", lambda: tarred([("/tmp/out", b"2")]), "absolute"),
    "tar with a link out": ("tar.gz", lambda: tarred([(member("top/l", tarfile.SYMTYPE, "../../out"), b"")]), "is a link"),
    "tar with a link and a file through it": (
        "tar.gz",
        lambda: tarred([(member("top/l", tarfile.SYMTYPE, "/tmp"), b""), ("top/l/out", b"2")]),
        "is a link",
    ),
    "tar with a hard link out": ("tar.gz", lambda: tarred([(member("top/l", tarfile.LNKTYPE, "/etc/passwd"), b"")]), "is a link"),
    "tar with a device": ("tar.gz", lambda: tarred([(member("top/d", tarfile.CHRTYPE), b"")]), "device"),
    "tar with a block device": ("tar.gz", lambda: tarred([(member("top/d", tarfile.BLKTYPE), b"")]), "device"),
    "tar with a pipe": ("tar.gz", lambda: tarred([(member("top/p", tarfile.FIFOTYPE), b"")]), "pipe"),
    "tar with a name twice": ("tar.gz", lambda: tarred([("top/a", b"1"), ("top/./a", b"2")]), "twice"),
    "tar that claims a terabyte": ("tar.gz", tar_liar, "refused as a trap"),
    "tar cut short": ("tar.gz", lambda: tarred([("top/a", os.urandom(1 << 20))])[:500_000], "damaged"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_archive_is_refused_whole_and_its_download_goes(server, tmp_path, what):
    kind, build, reason = BAD[what]
    outside = {path for path in tmp_path.parent.iterdir()}
    with pytest.raises(InputError, match=reason):
        get(entry(server, body=build(), kind=kind), tmp_path / "to")
    is_absent(tmp_path / "to")
    left = [path for path in (tmp_path / "to").rglob("*") if path.is_file() and path.stat().st_size]
    assert left == [] and {path for path in tmp_path.parent.iterdir()} == outside and not Path("/tmp/out").exists()
    get(entry(server), tmp_path / "to")  # and nothing of it is in the way of a good one
    is_whole(tmp_path / "to")


def test_a_tar_is_unpacked_without_its_rights(server, tmp_path):
    info = member("top/run.sh")
    info.mode = 0o6777
    get(entry(server, body=tarred([(info, b"#!/bin/sh\n"), (member("top/empty", tarfile.DIRTYPE), b"")]), kind="tar.gz"), tmp_path)
    assert (tmp_path / "mini" / "run.sh").stat().st_mode & 0o7111 == 0


def test_only_what_is_asked_for_is_unpacked(server, tmp_path):
    made = entry(server, body=zipped({**GOOD, **zip_link("top/other/link", "/etc")}))
    made = Entry(**{**vars(made), "remotes": (Remote(**{**vars(made.remotes[0]), "only": ("a.csv", "wav")}),)})
    get(made, tmp_path)
    is_whole(tmp_path)


def rar4(files):
    """A RAR 4 archive with stored files, by the published technical note."""
    import zlib

    def block(kind, flags, body):
        rest = bytes([kind]) + flags.to_bytes(2, "little") + (7 + len(body)).to_bytes(2, "little") + body
        return (zlib.crc32(rest) & 0xFFFF).to_bytes(2, "little") + rest

    made = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, content in files.items():
        size, raw = len(content).to_bytes(4, "little"), name.encode()
        head = size + size + b"\x03" + zlib.crc32(content).to_bytes(4, "little") + bytes(4) + b"\x14\x30"
        made += block(0x74, 0x8000, head + len(raw).to_bytes(2, "little") + (0o100644).to_bytes(4, "little") + raw) + content
    return made + block(0x7B, 0x4000, b"")


def test_rar_is_unpacked_with_the_same_checks(server, tmp_path):
    pytest.importorskip("rarfile", reason="rarfile is not installed")
    get(entry(server, body=rar4(GOOD), kind="rar"), tmp_path / "good")
    is_whole(tmp_path / "good")
    with pytest.raises(InputError, match="leads out"):
        get(entry(server, body=rar4({"top/../../out": b"1"}), kind="rar"), tmp_path / "bad")
    is_absent(tmp_path / "bad")


# ---- addresses


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "data:,x", "/etc/passwd", "http://", "https://me:secret@host/x"])
def test_only_http_addresses_without_passwords(tmp_path, url):
    made = Entry("mini", "", "", "", "", (Remote(url, "plain", None, None, "f"),), "data=mini")
    with pytest.raises(InputError) as fault:
        get(made, tmp_path)
    assert "secret" not in str(fault.value)
    is_absent(tmp_path)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://me:secret@127.0.0.1/x"])
def test_a_redirect_goes_to_http_only(server, tmp_path, to):
    made = entry(server)
    server.redirects["/file"] = to
    with pytest.raises(InputError) as fault:
        get(made, tmp_path)
    assert "secret" not in str(fault.value) and "address" in str(fault.value)
    is_absent(tmp_path)


def test_a_redirect_is_followed_with_the_range(server, tmp_path):
    made = entry(server, body=BODY, kind="plain", checksum=SUM)
    server.files["/there"] = BODY
    server.redirects["/file"], server.drops = "/there?key=secret", [400_000]
    server.files["/there?key=secret"] = BODY
    get(made, tmp_path)
    assert "bytes=400000-" in [wanted for path, wanted, _ in server.asked if path.startswith("/there")]
    assert "secret" not in (tmp_path / "mini" / "SOURCE.json").read_text()


def test_a_redirect_from_https_to_http_is_refused():
    with pytest.raises(InputError, match="from https to http"):
        _Redirects().redirect_request(urllib.request.Request("https://a/x"), None, 302, "", {}, "http://a/x")


def test_messages_show_no_password_and_no_key():
    assert shown("https://me:secret@host:8443/a/b?token=secret#x") == "https://host:8443/a/b"


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/b", ".hidden", "..", ""])
def test_the_folder_cannot_lie_outside(server, tmp_path, name):
    with pytest.raises(InputError):
        get(entry(server, name=name), tmp_path / "to")
    assert not (tmp_path / "out").exists() and not (tmp_path / "to").exists()


@pytest.mark.parametrize("what", ["folder", "empty folder", "file", "link"])
def test_something_else_of_that_name_is_never_touched(server, tmp_path, what):
    there = tmp_path / "mini"
    if what == "file":
        there.write_text("mine")
    elif what == "link":
        there.symlink_to(tmp_path / "nowhere")
    else:
        there.mkdir()
        if what == "folder":
            (there / "mine").write_text("mine")
    with pytest.raises(InputError, match="something else already"):
        get(entry(server), tmp_path)
    assert server.asked == [] and os.path.lexists(there) and (what != "folder" or (there / "mine").read_text() == "mine")


# ---- the catalogue, the steps after, the command


def test_the_catalogue_states_what_it_knows_and_says_what_it_does_not():
    assert {"physionet2016", "circor2022", "yaseen2018", "covid_cxr", "openi_reports", "medmnist"} <= set(ENTRIES)
    for made in ENTRIES.values():
        assert made.licence and made.licence_url.startswith("https://") and made.source.startswith("https://") and made.use
        for remote in made.remotes:
            assert remote.url.startswith("https://") and remote.kind in ("zip", "tar.gz", "rar", "plain")
            if remote.checksum is None:
                assert made.notes
            else:
                kind, value = remote.checksum.split(":")
                assert len(value) == {"sha256": 64, "md5": 32, "git": 40}[kind] and int(value, 16) >= 0
    with pytest.raises(InputError, match="no such data set"):
        find("mimic")


OPENI = """<eCitation><uId id="CXR{n}"/><MedlineCitation><Article><ArticleTitle>Chest, 2 views</ArticleTitle><Abstract>
<AbstractText Label="COMPARISON">None.</AbstractText><AbstractText Label="INDICATION">Cough,  fever</AbstractText>
<AbstractText Label="FINDINGS"/><AbstractText Label="IMPRESSION">Heart is large.</AbstractText></Abstract></Article></MedlineCitation>
<MeSH><major>Cardiomegaly/borderline</major><major>Opacity/lung/left</major><automatic>heart</automatic></MeSH>{image}</eCitation>"""


def test_open_i_becomes_the_table_that_its_loader_reads(server, tmp_path):
    import pandas as pd

    reports = [(f"ecgen-radiology/{n}.xml", OPENI.format(n=n, image=image).encode()) for n, image in (
        (10, '<parentImage id="CXR10_IM-1"/>'), (2, '<parentImage id="CXR2_IM-1"/><parentImage id="CXR2_IM-2"/>'), (3, ""))]  # fmt: skip
    made = entry(server, body=tarred(reports), kind="tar.gz", name="openi", finish="openi_table", expects=("ecgen-radiology",))
    made = Entry(**{**vars(made), "remotes": (Remote(**{**vars(made.remotes[0]), "strip": 0}),)})
    table = pd.read_csv(get(made, tmp_path) / "indiana_reports.csv", dtype=str, keep_default_na=False)
    assert table["uid"].tolist() == ["2", "10"]  # 3 has no image
    assert table.loc[0].to_dict() == {
        "uid": "2", "MeSH": "Cardiomegaly/borderline;Opacity/lung/left", "Problems": "Cardiomegaly;Opacity", "image": "Chest, 2 views",
        "indication": "Cough, fever", "comparison": "None.", "findings": "", "impression": "Heart is large.",
    }  # fmt: skip
    images = pd.read_csv(tmp_path / "openi" / "indiana_images.csv", dtype=str)
    assert images["filename"].tolist() == ["CXR2_IM-1.png", "CXR2_IM-2.png", "CXR10_IM-1.png"]


def run(*arguments, answer=None, monkeypatch, tty=False):
    from mmdx.commands import data_fetch

    monkeypatch.setattr(sys, "argv", ["mmdx data fetch", *map(str, arguments)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer or ""))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: tty, raising=False)
    data_fetch.main()


@pytest.mark.parametrize(("use", "there"), [("data=physionet2016", True), ("data=medmnist data.subset=pneumoniamnist", True), ("data=mimic", False)])
def test_a_line_to_use_is_given_only_where_there_is_a_loader(use, there):
    from mmdx.commands.data_fetch import has_loader

    assert has_loader(use) is there


def test_the_command_shows_licence_and_size_asks_once_and_ends_with_the_line_to_use(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(ENTRIES, "mini", entry(server))
    run(monkeypatch=monkeypatch)
    listed = capsys.readouterr().out
    assert "physionet2016" in listed and "ODC-By 1.0" in listed and "181 MB" in listed

    with pytest.raises(SystemExit) as stop:
        run("mini", "--to", tmp_path, monkeypatch=monkeypatch)
    said = capsys.readouterr()
    assert stop.value.code == 1 and "add --yes" in said.err and said.err.count("\n") == 1 and "CC0" in said.out

    for answer in ("n\n", "\n", ""):
        with pytest.raises(SystemExit):
            run("mini", "--to", tmp_path, answer=answer, tty=True, monkeypatch=monkeypatch)
        assert "Nothing was fetched" in capsys.readouterr().out and not list(tmp_path.iterdir())

    run("mini", "--to", tmp_path, answer="y\n", tty=True, monkeypatch=monkeypatch)
    assert f"It is in {tmp_path / 'mini'}. mmdx has no loader for it yet; write a manifest" in capsys.readouterr().out
    is_whole(tmp_path)
    run("mini", "--to", tmp_path / "two", "--yes", monkeypatch=monkeypatch)
    is_whole(tmp_path / "two")


def test_an_unknown_name_is_one_sentence(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stop:
        run("nothing", "--yes", monkeypatch=monkeypatch)
    said = capsys.readouterr().err
    assert stop.value.code == 1 and said.startswith("error: nothing: no such data set") and said.count("\n") == 1
