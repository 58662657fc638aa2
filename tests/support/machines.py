"""Machines for tests: namespaces with a network, processes, home, /tmp and sshd of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("ip", "unshare", "sshd", "ssh", "ssh-keygen", "rsync", "make")
SCRIPT = Path(__file__).parent / "machine.sh"


@dataclass(frozen=True)
class Machine:
    """One machine. `pid` is that of its namespaces' first process, seen from outside."""

    address: str
    folder: Path
    pid: int

    def processes(self) -> list[str]:
        """The command lines of everything that runs there."""
        name = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "ns/pid").readlink() == name:
                    found.append((entry / "cmdline").read_text().replace("\0", " ").strip())
            except OSError:
                continue
        return [one for one in found if one]


def why_not() -> str | None:
    """Why this system cannot make such machines, or None."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"not installed here: {', '.join(missing)}"
    for command in (
        ["unshare", "-n", "-m", "-p", "-f", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        ["ip", "link", "add", "agprobe", "type", "bridge"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"`{' '.join(command)}` is not allowed here: {done.stderr.strip()}"
    subprocess.run(["ip", "link", "del", "agprobe"], check=True)
    return None


@contextmanager
def machines(count: int, folder: Path, shared: Path) -> Iterator[tuple[Machine, ...]]:
    """`count` machines on one bridge, which this process can reach with `folder/key`. Nothing is left.

    They share the directory `shared`, which is their /mnt/actiongrid.
    """
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    net = os.getpid() % 200 + 20
    bridge = f"agbr{net}"
    with ExitStack() as undo:
        run("ip", "link", "add", bridge, "type", "bridge")
        undo.callback(run, "ip", "link", "del", bridge)
        run("ip", "addr", "add", f"10.213.{net}.1/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        made = tuple(
            undo.enter_context(_machine(number, f"10.213.{net}.{10 + number}", bridge, folder, shared))
            for number in range(count)
        )
        yield made


@contextmanager
def _machine(number: int, address: str, bridge: str, folder: Path, shared: Path) -> Iterator[Machine]:
    name = f"{bridge}m{number}"
    own = folder / f"machine{number}"
    (own / "home/.ssh").mkdir(parents=True)
    shutil.copy(folder / "key.pub", own / "home/.ssh/authorized_keys")
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(own / "home/.ssh/host_key")], check=True
    )
    with ExitStack() as undo:
        run("ip", "netns", "add", name)
        undo.callback(run, "ip", "netns", "del", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", bridge, "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "route", "add", "default", "via", f"{address.rsplit('.', 1)[0]}.1")
        arguments = (str(own), str(shared), sys.prefix, address, f"machine{number}")
        with (own / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_apart(name), "bash", str(SCRIPT), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        undo.callback(_end, process)
        _wait_for_login(address, folder / "key", own / "log")
        yield Machine(address, own, _first_process(process.pid))


def _apart(network: str) -> list[str]:
    own = ["unshare", "-u", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
    return ["ip", "netns", "exec", network, *own]


def _first_process(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(children[0])


def _wait_for_login(address: str, key: Path, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if subprocess.run(ssh(address, key, "true"), capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.2)
    raise RuntimeError(f"no login at {address}: {log.read_text()}")


def ssh(address: str, key: Path, command: str) -> list[str]:
    """The command line that runs `command` on a machine."""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    return ["ssh", "-i", str(key), *(f"-o{one}" for one in options), f"root@{address}", command]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(*command: str) -> None:
    """Run a system command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
