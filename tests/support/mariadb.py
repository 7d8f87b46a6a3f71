"""A real MariaDB server on a folder and a socket of its own."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.programs import real_part

START_DEADLINE_S = 30.0
STOPPED = "Tt"
"""States of a thread that SIGSTOP or a tracer holds, proc(5)."""
_OPTIONS = (
    "--skip-networking",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=64M",
    "--innodb-flush-log-at-trx-commit=1",
    "--max-allowed-packet=64M",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--character-set-server=utf8mb4",
)


class MariadbServer:
    """`socket` is where it listens; the user is root without a password. Starting again after `kill` recovers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "s"
        # At its start a server removes whatever temporary tables it finds, those of other servers too.
        self._temporaries = folder / "tmp"
        self.user = "root"
        self._process: subprocess.Popen[bytes] | None = None

    def install(self) -> None:
        """Creates an empty data folder; some seconds."""
        command = [real_part("mariadb-install-db", package="mariadb-server"), "--no-defaults", *self._places()]
        command += [f"--user={getpass.getuser()}", *_OPTIONS[1:3]]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db ended with {done.returncode}: {done.stdout[-2000:]}")

    def start(self, *options: str) -> None:
        program = real_part("mariadbd", package="mariadb-server")
        command = [program, "--no-defaults", *self._places(), f"--socket={self.socket}"]
        command += [f"--pid-file={self.folder / 'pid'}", f"--user={getpass.getuser()}", *_OPTIONS, *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def _places(self) -> tuple[str, str]:
        self._temporaries.mkdir(exist_ok=True)
        return f"--datadir={self.folder / 'data'}", f"--tmpdir={self._temporaries}"

    def _answers(self) -> bool:
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self.socket}", "--user=root", "ping"]
        return subprocess.run(ping, capture_output=True).returncode == 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def execute(self, statements: str) -> None:
        """SQL by the command line client."""
        client = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "-e", statements]
        subprocess.run(client, check=True, capture_output=True, timeout=30)

    def kill(self) -> None:
        """As a power cut would: kill -9."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """As a machine that hangs: SIGSTOP, and not before every thread has really stopped, which may take a while."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            deadline = time.monotonic() + START_DEADLINE_S
            while not self._stands_still():
                if time.monotonic() > deadline:
                    raise RuntimeError("MariaDB goes on after SIGSTOP")
                time.sleep(0.002)
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] in STOPPED for stat in threads)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture(scope="session")
def mariadb_folder() -> Iterator[Path]:
    """A data folder just installed, to be copied."""
    with tempfile.TemporaryDirectory(prefix="onelite-db-") as name:
        MariadbServer(Path(name)).install()
        yield Path(name)


def copied_server(template: Path, name: str) -> MariadbServer:
    """Another server beside the template, not started; quick."""
    folder = template / name
    folder.mkdir()
    shutil.copytree(template / "data", folder / "data")
    return MariadbServer(folder)


@pytest.fixture(scope="session")
def mariadb_server(mariadb_folder: Path) -> Iterator[MariadbServer]:
    """A running server that tests share; each makes databases of its own name."""
    server = copied_server(mariadb_folder, "shared")
    server.start()
    yield server
    server.stop()
