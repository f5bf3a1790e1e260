"""A release of Open Images on loopback, prepared once for all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.data_prep.preparing.open_images_run import IMAGES, Prepared, prepare
from tests.data_prep.preparing.open_images_site import OpenImagesSite


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with OpenImagesSite().running() as site:
        assert isinstance(site, OpenImagesSite)
        site.publish(IMAGES, classes=6)
        folder = tmp_path_factory.mktemp("undisturbed")
        yield Prepared(site, folder, prepare(site, folder))


@pytest.fixture
def prepared(undisturbed: Prepared) -> Iterator[Prepared]:
    files = dict(undisturbed.site.files)
    undisturbed.site.requests.clear()
    undisturbed.site.ranges.clear()
    yield undisturbed
    undisturbed.site.files = files
    undisturbed.site.faults.clear()
    undisturbed.site.bytes_at_a_time = 0


@pytest.fixture
def release(prepared: Prepared) -> OpenImagesSite:
    return prepared.site
