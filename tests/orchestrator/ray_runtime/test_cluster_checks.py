"""The judgements on what machines answer; the asking itself is tested on real clusters in tests/cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderProbe, FolderStorage
from orchestrator.ray_runtime.cluster_checks import (
    SEEN_SECONDS,
    Answer,
    ClusterError,
    _refuse_other_versions,
    _refuse_unshared,
    answer,
    check_cluster,
    refuse_lost_storage,
    versions,
)

STORAGE = Path("/mnt/grid")


def test_a_machine_that_shares_the_storage_sees_the_drivers_file_and_writes_its_own(tmp_path: Path) -> None:
    probe = tmp_path / ".probe-1"
    probe.write_text("here")
    told = answer("node a", FolderProbe(str(probe)))
    assert told.seen and told.wrote is not None and told.problem is None
    assert (tmp_path / told.wrote).read_text() == "node a"
    _refuse_unshared([told], tmp_path, {told.wrote})


def test_a_machine_with_a_directory_of_its_own_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SEEN_SECONDS > 1
    monkeypatch.setattr("orchestrator.ray_runtime.cluster_checks.SEEN_SECONDS", 0.1)
    blind = answer("node b", FolderProbe(str(tmp_path / ".probe-1")))
    assert not blind.seen
    with pytest.raises(ClusterError, match=r"1 of 2 machines do not share the storage: node b .*/mnt/grid"):
        _refuse_unshared([Answer("node a", {}, True, "x", None), blind], FolderStorage(STORAGE), {"x"})


def test_a_file_that_the_driver_does_not_see_means_another_directory() -> None:
    with pytest.raises(ClusterError, match="1 of 1 machines do not share"):
        _refuse_unshared(
            [Answer("node a", {}, True, "written elsewhere", None)], FolderStorage(STORAGE), set()
        )


def test_a_directory_mounted_for_reading_only_is_refused() -> None:
    refused = pytest.raises(ClusterError, match=r"node a cannot write .* \(Read-only file system\)")
    with refused:
        _refuse_unshared(
            [Answer("node a", {}, True, None, "Read-only file system")], FolderStorage(STORAGE), set()
        )


def test_other_versions_are_named_with_the_machine() -> None:
    here = versions()
    assert {"python", "ray", "torch"} <= set(here)
    _refuse_other_versions([Answer("node a", here, True, None, None)], here)
    other = Answer("node b", here | {"torch": "1.0", "python": "3.9"}, True, None, None)
    with pytest.raises(ClusterError, match=r"python 3\.9 instead of .*torch 1\.0 instead of .*node b"):
        _refuse_other_versions([other], here)


def test_actiongrid_may_be_there_as_the_jobs_working_directory_alone() -> None:
    here = versions()
    without = {name: version for name, version in here.items() if name != "actiongrid"}
    _refuse_other_versions([Answer("node a", without, True, None, None)], here)


def test_a_jobs_copy_of_the_repository_is_no_storage() -> None:
    copy = Path("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_1/actiongrid-storage")
    with pytest.raises(ClusterError, match="which Ray deletes"):
        refuse_lost_storage(copy)
    refuse_lost_storage(STORAGE)


def test_a_local_ray_is_not_asked_anything(tmp_path: Path) -> None:
    check_cluster(None, FolderStorage(tmp_path / "storage"), tmp_path / "log")
    assert list(tmp_path.iterdir()) == []
