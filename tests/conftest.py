from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# One thread each: the machines that run these tests are small, and bit-equality needs a fixed number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A server that stands beside other tests answers late: the product's ten seconds are for people who wait.
os.environ.setdefault("ACTIONGRID_ANSWER_SECONDS", "30")

# No timing in tests: hypothesis' own deadline of 200 ms fails on a busy machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def toy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.toy import build_toy

    directory = tmp_path_factory.mktemp("toy-data")
    build_toy(directory)
    return directory


@pytest.fixture(scope="session")
def chains_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.studies import CHAINS

    path = tmp_path_factory.mktemp("study") / "chains.yaml"
    path.write_text(CHAINS)
    return path


@pytest.fixture(scope="session")
def undisturbed_chains(chains_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage of that study, trained by the real command on a real Ray; its results change for nobody."""
    from tests.support.studies import undisturbed_run

    return undisturbed_run(chains_study, tmp_path_factory.mktemp("undisturbed-chains"))
