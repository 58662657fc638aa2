"""The way to a cluster's head over SSH: nobody waits for it without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.clusters import jobs
from orchestrator.clusters.jobs import JobError, tunnel


def test_a_head_that_cannot_be_reached_is_said_before_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, said = tmp_path / "cluster.yaml", list[str]()
    file.touch()
    monkeypatch.setattr(jobs, "_RAY", "import time; print('no route to host', flush=True); time.sleep(60)")
    monkeypatch.setattr(jobs, "_TUNNEL_SECONDS", 1.5)
    monkeypatch.setenv("ACTIONGRID_ANSWER_SECONDS", "0.2")
    with pytest.raises(JobError, match=r"no way to the cluster's head"), tunnel(file, said.append):
        pass
    assert said == [f"still looking for a way to the head of {file}, for up to 2 s"]
