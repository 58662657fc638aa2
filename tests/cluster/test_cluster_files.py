"""The files for `ray up` pass Ray's own check, and carry what that check does not ask for."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.ray_runtime.cluster_size import maximum_of
from orchestrator.scheduling.schedule import Free
from tests.support.paths import ROOT

FILES = ("cluster.yaml", "clusters/on-premises.yaml")


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return config


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """The file as Ray completes it, checked against Ray's schema."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    complete: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(complete)
    return complete


def problems(config: dict[str, Any]) -> list[str]:
    """What Ray's schema lets pass and would be missed later."""
    found = []
    if not config.get("auth", {}).get("ssh_user"):
        found.append("auth.ssh_user is missing")
    commands = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    if not any("--autoscaling-config" in one for one in config["head_start_ray_commands"]):
        found.append("the head starts without its autoscaling config")
    if config["provider"]["type"] == "local" and "RAY_enable_autoscaler_v2=0" not in " ".join(commands):
        found.append("version 2 of the autoscaler never starts listed machines")
    if "~/.ray/auth_token" not in config["file_mounts"]:
        found.append("the token does not travel")
    if "RAY_AUTH_MODE=token" not in " ".join(config["setup_commands"]):
        found.append("token authentication is off")
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_file_passes_rays_own_check_and_ours(name: str) -> None:
    config = read(name)
    prepared(config)
    assert problems(config) == []


@pytest.mark.parametrize("name", FILES)
def test_everything_that_is_sent_is_there(name: str) -> None:
    sent = [Path(local) for local in read(name)["file_mounts"].values() if local.startswith("./")]
    assert [path for path in sent if not (ROOT / path).exists()] == []
    # What an installation reads: `make install` builds the package on every machine.
    assert {"pyproject.toml", "requirements.lock", "Makefile", "README.md", "LICENSE"} <= {
        path.name for path in sent
    }


def test_a_wrong_field_and_a_lost_login_are_found() -> None:
    import jsonschema

    config = read("cluster.yaml")
    with pytest.raises(jsonschema.ValidationError):
        prepared({**config, "max_worker": 3})
    assert problems({**config, "auth": {}}) == ["auth.ssh_user is missing"]


def test_the_schedule_knows_how_far_the_aws_cluster_grows() -> None:
    maximum = maximum_of(prepared(read("cluster.yaml")))
    assert maximum.least == 0
    assert maximum.size(head={"CPU": 0.0}, others=[]) == Free(cpus=64, gpus=8)


def test_listed_machines_are_waited_for_and_counted_like_the_largest_known() -> None:
    maximum = maximum_of(prepared(read("clusters/on-premises.yaml")))
    assert maximum.least == 2
    assert maximum.size(head={"CPU": 4.0}, others=[{"CPU": 16.0, "GPU": 2.0}]) == Free(cpus=36, gpus=4)


def with_image(name: str) -> dict[str, Any]:
    """The file with its section `docker` uncommented, as the comment above it says."""
    text = (ROOT / name).read_text()
    section = re.search(r"^#docker:\n(?:#  .*\n)+", text, re.MULTILINE)
    assert section is not None
    config: dict[str, Any] = yaml.safe_load(
        text.replace(section[0], re.sub("^#", "", section[0], flags=re.MULTILINE))
    )
    return config


def test_the_aws_cluster_can_name_the_image() -> None:
    from ray.autoscaler._private.docker import docker_start_cmds

    config = prepared(with_image("cluster.yaml"))
    docker = config["docker"]
    options = [*docker["run_options"], *docker.get("worker_run_options", [])]
    line = docker_start_cmds(
        "ubuntu", docker["image"], {}, docker["container_name"], options, "actiongrid", "/root", "docker"
    )
    assert " -v /mnt/actiongrid:/mnt/actiongrid " in line and "NVIDIA_VISIBLE_DEVICES=all" in line
    assert line.endswith(" registry.example.org/actiongrid:latest bash")
    mount = next(one for one in config["initialization_commands"] if "mount -t nfs4" in one)
    assert "/mnt/actiongrid" in mount and "ACTIONGRID_STORAGE=/mnt/actiongrid" in config["setup_commands"][1]


def test_the_image_has_what_ray_calls_in_it_where_the_cluster_installs() -> None:
    image = (ROOT / "clusters" / "Dockerfile").read_text()
    (installed,) = re.findall(r"apt-get install .*?--no-install-recommends (.+?) \\", image)
    assert {"rsync", "wget", "make", "procps"} <= set(installed.split())
    assert "ln -s /opt/actiongrid /root/actiongrid" in image
    assert "make -C ~/actiongrid install" in read("cluster.yaml")["setup_commands"][0]
    assert with_image("cluster.yaml")["docker"]["image"] in (ROOT / "clusters" / "kuberay.yaml").read_text()
