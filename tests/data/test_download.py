"""Downloads, from a server on this machine: complete and checked, or not there at all."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_files import says

from ranvier.data.download import Checksum, data_folder, download

CONTENT = bytes(range(256)) * 3000  # several chunks
SHA = Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())
MD5 = Checksum("md5", hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT under /good; /short announces more, /silent nothing; /moved redirects."""

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        self.send_response(200)
        if self.path != "/silent":
            extra = 5 if self.path == "/short" else 0
            self.send_header("Content-Length", str(len(CONTENT) + extra))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is on this machine, whatever the environment says about proxies."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def empty(folder: Path) -> bool:
    return not any(folder.iterdir())


@pytest.mark.parametrize("page", ["good", "silent", "moved"])
@pytest.mark.parametrize("checksum", [None, SHA, MD5], ids=["unchecked", "sha256", "md5"])
def test_fetches(tmp_path: Path, address: str, page: str, checksum: Checksum | None) -> None:
    target = tmp_path / "new" / "folder" / "file.bin"
    assert download(f"{address}/{page}", target, checksum) == target
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_fetches_from_a_file_and_replaces(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(CONTENT)
    target.write_bytes(b"old")
    download(source.as_uri(), target, SHA)
    assert target.read_bytes() == CONTENT


def test_progress_is_told(tmp_path: Path, address: str) -> None:
    told: list[tuple[str, int, int | None]] = []
    download(f"{address}/good", tmp_path / "f", progress=lambda *state: told.append(state))
    assert told[-1] == ("f", len(CONTENT), len(CONTENT))
    done = [bytes_so_far for _, bytes_so_far, _ in told]
    assert len(done) > 1
    assert done == sorted(set(done))
    told.clear()
    download(f"{address}/silent", tmp_path / "f", progress=lambda *state: told.append(state))
    assert told[-1] == ("f", len(CONTENT), None)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, address: str, kind: str) -> None:
    right = {"sha256": SHA, "md5": MD5}[kind].digest
    text = (
        f"{address}/good: the download has the {kind} {right}, not 00; "
        "try again, and tell us if it stays so"
    )
    with says(text):
        download(f"{address}/good", tmp_path / "f", Checksum(kind, "00"))
    assert empty(tmp_path)


def test_a_wrong_checksum_keeps_the_old_file(tmp_path: Path, address: str) -> None:
    (tmp_path / "f").write_bytes(b"old")
    with pytest.raises(ValueError, match="the download has the md5"):
        download(f"{address}/good", tmp_path / "f", Checksum("md5", "00"))
    assert (tmp_path / "f").read_bytes() == b"old"


@pytest.mark.parametrize("page", ["good", "silent"])
def test_more_than_the_limit(tmp_path: Path, address: str, page: str) -> None:
    limit = len(CONTENT) - 1
    with says(f"{address}/{page}: more than {limit} bytes; the download is broken off"):
        download(f"{address}/{page}", tmp_path / "f", limit=limit)
    assert empty(tmp_path)
    download(f"{address}/{page}", tmp_path / "f", limit=limit + 1)


def test_a_download_that_ends_early(tmp_path: Path, address: str) -> None:
    size, target = len(CONTENT), tmp_path / "f"
    text = (
        f"{address}/short: the download ended after {size} of {size + 5} bytes; "
        f"try again, or fetch it elsewhere and put it at {target}"
    )
    with says(text):
        download(f"{address}/short", target)
    assert empty(tmp_path)


def test_a_page_that_is_missing(tmp_path: Path, address: str) -> None:
    target = tmp_path / "f"
    text = (
        f"cannot download {address}/missing (the server answers 404); "
        f"fetch it elsewhere and put it at {target}"
    )
    with says(text):
        download(f"{address}/missing", target)
    assert empty(tmp_path)


def test_without_a_network(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound but not listening: every connection is refused
        taken.bind(("127.0.0.1", 0))
        url, target = f"http://127.0.0.1:{taken.getsockname()[1]}/f", tmp_path / "f"
        text = (
            f"cannot download {url} (Connection refused); fetch it elsewhere and put it at {target}"
        )
        with says(text):
            download(url, target)
    assert empty(tmp_path)


def test_a_server_that_keeps_silent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url, target = f"http://127.0.0.1:{silent.getsockname()[1]}/f", tmp_path / "f"
        text = f"cannot download {url} (timed out); fetch it elsewhere and put it at {target}"
        with says(text):
            download(url, target, timeout=0.05)
    assert empty(tmp_path)


@pytest.mark.parametrize("url", ["ftp://example.org/f", "data:,f", "/etc/passwd"])
def test_other_schemes(tmp_path: Path, url: str) -> None:
    with says(f"{url}: not an address to download from; use https, http or file"):
        download(url, tmp_path / "f")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = (
        f"{tmp_path / 'file'}: cannot keep data there (File exists); "
        "set RANVIER_DATA to a folder that can be written"
    )
    with says(text):
        download("https://example.org/f", tmp_path / "file" / "f")


def test_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.delenv("RANVIER_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    monkeypatch.setattr("sys.platform", "linux")
    assert data_folder() == Path("/shared/ranvier/data")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_folder() == Path.home() / ".cache/ranvier/data"
    monkeypatch.setattr("sys.platform", "darwin")
    assert data_folder() == Path.home() / "Library/Caches/ranvier/data"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert data_folder() == Path("/local/ranvier/data")
