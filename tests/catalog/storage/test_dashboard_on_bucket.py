"""The dashboard over a bucket: it follows another machine's journals and stays open through an outage."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from catalog.events import AttemptStarted
from catalog.journal import open_journal
from catalog.storage.bucket import Bucket
from catalog.storage.mirror import Mirror
from dashboards.app.live import LiveCatalog
from tests.support.buckets import open_mirror, storage_in
from tests.support.s3_server import S3Server, Wire


def started(number: int) -> AttemptStarted:
    return AttemptStarted(f"{number:032x}", 1, "driver", "host", "s3://lab/runs/x")


def test_it_follows_and_says_when_it_cannot(
    s3: S3Server, url: str, elsewhere: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Wire(s3.port) as wire:
        monkeypatch.setenv("AWS_ENDPOINT_URL", wire.address)
        monkeypatch.setenv("ACTIONGRID_CACHE", str(tmp_path / "viewer"))
        watched = storage_in(open_mirror(f"{url}/watched"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.address)
        driver = Mirror(elsewhere.root, Bucket(f"{url}/watched/"))
        live = LiveCatalog(watched, pause=0.0)
        assert live.refresh() == 0 and live.trouble is None
        from catalog import Journal
        from catalog.storage.journal_segments import Segments

        with Journal.open(driver.root, "one", Segments(driver, "one")) as journal:
            journal.append(started(1))
            assert live.refresh() == 1
            wire.cut()
            journal.append(started(2))
            assert live.refresh() == 1
            assert live.trouble is not None and "does not answer" in live.trouble
            wire.mend()
            assert live.refresh() == 2 and live.trouble is None
        (row,) = live.catalog.query("SELECT count(*) AS n FROM recorded.attempts_started").to_pylist()
        assert row["n"] == 2
        live.close()


def test_reading_commands_write_no_journal(mirror: Mirror, elsewhere: Mirror) -> None:
    with open_journal(storage_in(mirror), "one") as journal:
        journal.append(started(1))
    before = [one.name for one in mirror.bucket.below("")]
    storage_in(elsewhere).refresh_journals()
    assert [one.name for one in mirror.bucket.below("")] == before


def test_nobody_waits_for_a_bucket_that_does_not_answer_somebody_else(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hangs(_: object) -> None:
        asked.set()
        answer.wait(60)

    live = LiveCatalog(storage_in(mirror))
    monkeypatch.setattr(type(live.storage), "refresh_journals", hangs)
    reading = threading.Thread(target=live.refresh)
    reading.start()
    try:
        assert asked.wait(30)
        assert live.refresh() == 0, "the last good state, at once"
        assert not answer.is_set()
    finally:
        answer.set()
        reading.join()
        live.close()
