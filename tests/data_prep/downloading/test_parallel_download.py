from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from data_prep.downloading.download_errors import DownloadError
from data_prep.downloading.http_download import Downloader, DownloadLimits, Fetched
from data_prep.downloading.parallel_download import ParallelDownload
from data_prep.runtime.worker_pool import default_num_processes
from tests.data_prep import loopback_site


class Handler(loopback_site.SilentHandler):
    def get(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"body")


class Site(loopback_site.Site):
    handler = Handler


@pytest.fixture
def site() -> Iterator[loopback_site.Site]:
    with Site().running() as server:
        yield server


def test_a_few_threads_decode_what_many_have_fetched(site: loopback_site.Site) -> None:
    threads: set[int] = set()

    def accept(item: int, fetched: Fetched) -> int:
        threads.add(threading.get_ident())
        time.sleep(0.005)
        return len(fetched.content)

    def reject(item: int, error: DownloadError) -> int:
        raise AssertionError(error)

    stop = threading.Event()
    limits = DownloadLimits(allow_private_addresses=True)
    download = ParallelDownload(
        Downloader(limits, stop=stop), url_of=lambda item: site.url(f"{item}"), accept=accept, reject=reject
    )
    assert list(download.run(range(64), num_threads=32, max_per_host=32, stop=stop)) == [4] * 64
    assert len(threads) <= default_num_processes() + 1


def test_what_fails_in_a_decoding_thread_is_raised_to_who_asked(site: loopback_site.Site) -> None:
    def accept(item: int, fetched: Fetched) -> int:
        raise OSError(28, "No space left on device")

    stop = threading.Event()
    download = ParallelDownload(
        Downloader(DownloadLimits(allow_private_addresses=True), stop=stop),
        url_of=lambda item: site.url(f"{item}"),
        accept=accept,
        reject=lambda item, error: 0,
    )
    with pytest.raises(OSError, match="No space left"):
        list(download.run(range(8), num_threads=4, max_per_host=4, stop=stop))
