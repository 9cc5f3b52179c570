"""Downloads over real HTTP from a server on this machine that misbehaves in every way that mirrors do."""

import contextlib
import hashlib
import io
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from yolov3_lib.data import download
from yolov3_lib.data.download import ARCHIVES, Archive, DownloadError, download_voc, fetch, unpack
from yolov3_lib.data.find import find_dataset, open_dataset

XML = "<annotation><size><width>20</width><height>10</height></size></annotation>"


def tar_of(files: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra:
            tar.addfile(member)
    return buffer.getvalue()


def devkit(split: str, image_id: str) -> bytes:
    folder = "VOCdevkit/VOC2007"
    noise = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
    return tar_of(
        {
            f"{folder}/ImageSets/Main/{split}.txt": f"{image_id}\n".encode(),
            f"{folder}/Annotations/{image_id}.xml": XML.encode(),
            f"{folder}/JPEGImages/{image_id}.jpg": noise,
        }
    )


CONTENTS = {"trainval.tar": devkit("trainval", "000005"), "test.tar": devkit("test", "000001")}
SMALL = {
    name: Archive(name, "2007", len(content), hashlib.md5(content).hexdigest())
    for name, content in CONTENTS.items()
}


class Mirror(BaseHTTPRequestHandler):
    """The first part of the path says how to behave; ``log`` has (path, Range) of every request."""

    log: list[tuple[str, str | None]]
    going_on: threading.Event

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.log.append((self.path, asked))
        _, manner, *_, name = self.path.split("/")
        content = CONTENTS[name]
        if manner in ("down", "absent"):
            self.send_error(503 if manner == "down" else 404)
            return
        if manner == "page":
            content = b"<html>The archive has moved.</html>"
        if manner == "corrupt":
            content = content[:-2000] + bytes(1000) + b"\1" * 1000
        if manner == "endless":
            content = content + bytes(5_000_000)
        ranged = asked is not None and manner not in ("norange", "page", "endless")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if ranged else 0
        if manner == "wrongrange":
            start = start // 2
        # How far an answer goes: "drops" gives 100 kB each time, the others less than all only at first.
        first = sum(path == self.path for path, _ in self.log) == 1
        stop = len(content)
        if manner == "drops" or (manner in ("dies", "norange") and first):
            stop = min(stop, start + 100_000)
        if manner == "stalls" and first:
            stop = 1000
        if manner == "dies" and not first:
            stop = start
        self.send_response(206 if ranged else 200)
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if manner != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client has hung up
            self.wfile.write(content[start:stop])
            if manner == "stalls" and first:
                self.going_on.wait()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Mirror.log, Mirror.going_on = [], threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        Mirror.going_on.set()
        httpd.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def small_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ARCHIVES", {"2007": tuple(SMALL.values())})
    monkeypatch.setattr(download, "_PAUSE", 0)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def get(dest: Path, *mirrors: str, name: str = "test.tar") -> Path:
    return fetch(SMALL[name], dest, mirrors, progress=False)


def test_the_archives_are_the_official_ones() -> None:
    assert {archive.name: (year, archive.year) for year in ARCHIVES for archive in ARCHIVES[year]} == {
        "VOCtrainval_06-Nov-2007.tar": ("2007", "2007"),
        "VOCtest_06-Nov-2007.tar": ("2007", "2007"),
        "VOCtrainval_11-May-2012.tar": ("2012", "2012"),
    }
    for archive in (*ARCHIVES["2007"], *ARCHIVES["2012"]):
        assert archive.size % 512 == 0  # a tar file consists of blocks
        assert len(archive.md5) == 32


# From the server to a dataset


def test_download_unpack_and_find(server: str, tmp_path: Path) -> None:
    dest = download_voc("2007", tmp_path / "new" / "data", [f"{server}/good/voc{{year}}"], progress=False)
    assert [path for path, _ in Mirror.log] == ["/good/voc2007/trainval.tar", "/good/voc2007/test.tar"]
    assert {path.name for path in dest.iterdir()} == {"trainval", "test"}
    assert find_dataset(dest).splits == {"2007-test": 1, "2007-trainval": 1}
    path, annotation = open_dataset(dest, "2007-test")[0]
    assert (path.name, annotation.size) == ("000001.jpg", (20, 10))
    assert path.stat().st_size == 300_000


def test_again_asks_for_nothing(server: str, tmp_path: Path) -> None:
    download_voc("2007", tmp_path, [f"{server}/good"], progress=False)
    Mirror.log.clear()
    download_voc("2007", tmp_path, [f"{server}/good"], progress=False)
    assert Mirror.log == []


def test_an_archive_put_there_by_hand_needs_no_network_and_stays(tmp_path: Path) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    download_voc("2007", tmp_path, [], progress=False)
    assert {path.name for path in tmp_path.iterdir()} == {"trainval", "trainval.tar", "test", "test.tar"}


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:-1] + b"!"])
def test_a_wrong_archive_put_there_by_hand_is_named(server: str, tmp_path: Path, spoil) -> None:
    (tmp_path / "test.tar").write_bytes(spoil(CONTENTS["test.tar"]))
    with pytest.raises(DownloadError, match=r"test\.tar: not the archive.*Remove it"):
        get(tmp_path, f"{server}/good")
    assert (tmp_path / "test.tar").exists()
    assert Mirror.log == []


# Mirrors that misbehave


def test_the_next_mirror_when_the_first_is_down(server: str, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        path = get(tmp_path, nobody, f"{server}/down", f"{server}/absent/", f"{server}/good")
    assert path.read_bytes() == CONTENTS["test.tar"]
    assert len(Mirror.log) == 3


def test_a_connection_that_drops_is_resumed(server: str, tmp_path: Path) -> None:
    assert get(tmp_path, f"{server}/drops").read_bytes() == CONTENTS["test.tar"]
    assert len(Mirror.log) == -(-SMALL["test.tar"].size // 100_000)
    assert [asked for _, asked in Mirror.log][:3] == [None, "bytes=100000-", "bytes=200000-"]
    assert [*tmp_path.iterdir()] == [tmp_path / "test.tar"]


def test_the_next_mirror_goes_on_where_one_died(server: str, tmp_path: Path) -> None:
    assert get(tmp_path, f"{server}/dies", f"{server}/good").read_bytes() == CONTENTS["test.tar"]
    assert Mirror.log[-1] == ("/good/test.tar", "bytes=100000-")


def test_the_next_call_goes_on_where_one_died(server: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the connection ended after 100,000 of \d+,\d+ bytes"):
        get(tmp_path, f"{server}/dies")
    assert (tmp_path / "test.tar.part").stat().st_size == 100_000
    assert get(tmp_path, f"{server}/good").read_bytes() == CONTENTS["test.tar"]
    assert Mirror.log[-1] == ("/good/test.tar", "bytes=100000-")


def test_a_server_without_ranges(server: str, tmp_path: Path) -> None:
    """It sends everything again; what we have is kept, and the file comes out right."""
    assert get(tmp_path, f"{server}/norange").read_bytes() == CONTENTS["test.tar"]
    assert [asked for _, asked in Mirror.log] == [None, "bytes=100000-"]


def test_a_download_that_is_killed_is_resumed(server: str, tmp_path: Path) -> None:
    """SIGKILL while bytes are still to come: those that came are in the file."""
    archive = SMALL["test.tar"]
    code = (
        "from yolov3_lib.data.download import Archive, fetch\n"
        f"fetch({archive!r}, {str(tmp_path)!r}, ['{server}/stalls'], progress=False)"
    )
    partial = tmp_path / "test.tar.part"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not (partial.is_file() and partial.stat().st_size == 1000):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    Mirror.going_on.set()
    assert get(tmp_path, f"{server}/stalls").read_bytes() == CONTENTS["test.tar"]
    assert [asked for _, asked in Mirror.log] == [None, "bytes=1000-"]
    assert not (tmp_path / "test.tar.part").exists()


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("corrupt", "complete, but its md5 isn't"),
        ("page", "offers 35 bytes, the archive has"),
        ("endless", "sends more than the archive's"),
        ("wrongrange", "asked to go on at byte 1,000, it answers with bytes 500-"),
    ],
)
def test_wrong_bytes_are_thrown_away(server: str, tmp_path: Path, manner: str, words: str) -> None:
    (tmp_path / "test.tar.part").write_bytes(CONTENTS["test.tar"][:1000])
    with pytest.raises(DownloadError, match=f"/{manner}/test.tar: {words}"):
        get(tmp_path, f"{server}/{manner}")
    assert not (tmp_path / "test.tar").exists()
    assert get(tmp_path, f"{server}/{manner}", f"{server}/good").read_bytes() == CONTENTS["test.tar"]


def test_a_spoiled_partial_file_is_given_up_once(server: str, tmp_path: Path) -> None:
    """Left by whatever: only the checksum of the whole can tell, and then it starts from nothing."""
    for junk in (b"<html>", bytes(SMALL["test.tar"].size), bytes(SMALL["test.tar"].size + 9)):
        (tmp_path / "test.tar.part").write_bytes(junk)
        assert get(tmp_path, f"{server}/good").read_bytes() == CONTENTS["test.tar"]
        (tmp_path / "test.tar").unlink()


def test_a_wrong_checksum_says_so(server: str, tmp_path: Path) -> None:
    wanted = Archive("test.tar", "2007", SMALL["test.tar"].size, "0" * 32)
    with pytest.raises(DownloadError, match=f"complete, but its md5 isn't {'0' * 32}"):
        fetch(wanted, tmp_path, [f"{server}/good"], progress=False)
    assert [*tmp_path.iterdir()] == []


def test_without_a_network_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        get(tmp_path, "http://voc.invalid/files")
    message = str(error.value)
    assert "http://voc.invalid/files/test.tar: " in message
    assert "attach a dataset that holds Pascal VOC" in message
    assert f"put it at {tmp_path / 'test.tar'}" in message


# Arguments, disk


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://host/x", "host/x"])
def test_only_the_web(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(ValueError, match="http or https"):
        download_voc("2007", tmp_path, [mirror])
    with pytest.raises(ValueError, match="year '2010'"):
        download_voc("2010", tmp_path)


def test_space_is_asked_for_before_anything_is_fetched(server: str, tmp_path: Path, monkeypatch) -> None:
    """Both archives unpacked, the larger one packed, less what is there already."""
    sizes = [archive.size for archive in SMALL.values()]
    needed = sum(sizes) + max(sizes) - 1000
    (tmp_path / "test.tar.part").write_bytes(CONTENTS["test.tar"][:1000])
    usage = download.shutil.disk_usage(tmp_path)
    for free, enough in ((needed - 1, False), (needed, True)):
        monkeypatch.setattr(download.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        if enough:
            download_voc("2007", tmp_path, [f"{server}/good"], progress=False)
        else:
            with pytest.raises(DownloadError, match=r"GB are needed.*Make room"):
                download_voc("2007", tmp_path, [f"{server}/good"], progress=False)
            assert Mirror.log == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_stops_at_once(server: str, tmp_path: Path) -> None:
    """Another mirror wouldn't help, so none is asked."""
    (tmp_path / "trainval.tar.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"(?s)can't be written to.*No space left.*--to"):
        download_voc("2007", tmp_path, [f"{server}/good", f"{server}/drops"], progress=False)
    assert len(Mirror.log) == 1


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(FileExistsError, match="data"):
        download_voc("2007", tmp_path / "data", [])


# Unpacking


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (member("../evil.txt"), "leads out"),
        (member("VOCdevkit/../../evil.txt"), "leads out"),
        (member("/tmp/evil.txt"), "leads out"),
        (member("C:\\evil.txt"), "leads out"),
        (member("link", tarfile.SYMTYPE, "/etc"), "is a link"),
        (member("link", tarfile.SYMTYPE, "VOCdevkit"), "is a link"),
        (member("link", tarfile.LNKTYPE, "VOCdevkit/a.txt"), "is a link"),
        (member("pipe", tarfile.FIFOTYPE), "special file"),
        (member("device", tarfile.CHRTYPE), "special file"),
    ],
)
@pytest.mark.parametrize("has_filter", [True, False])
def test_what_an_attack_would_use_is_refused(
    tmp_path: Path, bad: tarfile.TarInfo, words: str, has_filter: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_filter:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    path = tmp_path / "evil.tar"
    path.write_bytes(tar_of({"VOCdevkit/a.txt": b"a"}, (bad,)))
    with pytest.raises(DownloadError, match=words) as error:
        unpack(path, tmp_path / "evil")
    assert repr(bad.name) in str(error.value)
    assert [*tmp_path.iterdir()] == [path]


def test_rights_and_owners_of_a_tar_are_not_taken_over(tmp_path: Path, monkeypatch) -> None:
    strange = member("VOCdevkit/run", tarfile.REGTYPE)
    strange.mode, strange.uid = 0o6777, 12345
    for has_filter in (True, False):
        if not has_filter:
            monkeypatch.delattr(tarfile, "data_filter", raising=False)
        path = tmp_path / "a.tar"
        path.write_bytes(tar_of({}, (strange,)))
        unpack(path, tmp_path / f"{has_filter}")
        found = (tmp_path / f"{has_filter}" / "VOCdevkit" / "run").stat()
        assert found.st_mode & 0o7111 == 0
        assert found.st_uid == path.stat().st_uid


@pytest.mark.parametrize("cut", [0, 700, 100_000])
def test_a_tar_that_is_cut_short_leaves_nothing(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(CONTENTS["test.tar"][:cut])
    with pytest.raises(DownloadError, match="not a complete tar file"):
        unpack(path, tmp_path / "a")
    assert [*tmp_path.iterdir()] == [path]


def test_two_processes_that_unpack_at_once(tmp_path: Path) -> None:
    path = tmp_path / "test.tar"
    path.write_bytes(CONTENTS["test.tar"])
    for _ in range(2):
        unpack(path, tmp_path / "test")
    assert {each.name for each in tmp_path.iterdir()} == {"test", "test.tar"}
    assert open_dataset(tmp_path, "test").ids == ["000001"]
