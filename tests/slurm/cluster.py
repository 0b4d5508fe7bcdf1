"""A Slurm of one node on this machine, with accounting, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "sacctmgr", "sbatch")
PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server", "slurm-wlm-mysql-plugin")
_PORT = 33306
_CONF, _ASIDE = Path("/etc/slurm"), Path("/etc/slurm.aside")

SLURM_CONF = """\
ClusterName=local
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
KillWait=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:fake:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE DefMemPerCPU=500 State=UP
"""
GRES_CONF = "NodeName={host} Name=gpu Type=fake Count=2 File=/dev/zero,/dev/null\n"
DBD_CONF = """\
AuthType=auth/munge
DbdHost={host}
DbdAddr=127.0.0.1
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={port}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""


def why_not() -> str:
    """Return why no cluster can be brought up here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install {' '.join(PACKAGES)})"
    if (_CONF / "slurm.conf").exists() and not _CONF.is_symlink():
        return f"{_CONF} holds a configuration already, perhaps of a real cluster"
    return ""


class Cluster:
    """Daemons in a folder: `with Cluster(folder):` brings them up, and stops each by its pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        self._started: list[subprocess.Popen] = []

    def __enter__(self) -> Cluster:
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("slurmd", "slurmctld", "slurmdbd", "munged"):
            path = self.folder / f"{name}.pid"
            if path.exists() and path.read_text().strip():
                _stop(int(path.read_text()))
        for process in reversed(self._started):
            process.terminate()
            process.wait(60)
        if _CONF.is_symlink():
            _CONF.unlink()
        if _ASIDE.exists():
            _ASIDE.rename(_CONF)

    def _configure(self) -> None:
        for name in ("state", "spool", "sql", "conf"):
            (self.folder / name).mkdir(parents=True)
        values = {
            "host": self.host, "folder": self.folder, "port": _PORT, "cpus": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10,
        }  # fmt: skip
        for name, text in (
            ("slurm.conf", SLURM_CONF), ("gres.conf", GRES_CONF), ("slurmdbd.conf", DBD_CONF),
        ):  # fmt: skip
            path = self.folder / "conf" / name
            path.write_text(text.format(**values))
            path.chmod(0o600 if name == "slurmdbd.conf" else 0o644)
        if _CONF.is_dir() and not _CONF.is_symlink():
            _CONF.rename(_ASIDE)  # what the package ships
        _CONF.unlink(missing_ok=True)
        # srun inside of jobs looks nowhere else.
        _CONF.symlink_to(self.folder / "conf")

    def _start(self) -> None:
        key = Path("/etc/munge/munge.key")
        if not key.exists():
            key.write_bytes(os.urandom(1024))
        for place in ("/run/munge", "/var/log/munge", "/var/lib/munge", "/etc/munge"):
            Path(place).mkdir(parents=True, exist_ok=True)
            _run("chown", "-R", "munge:munge", place)
        key.chmod(0o400)
        self._started.append(
            subprocess.Popen(["runuser", "-u", "munge", "--", "munged", "--foreground", "--force"])
        )
        self._database()
        _run("slurmdbd")
        _until("sacctmgr -n show cluster", 60)
        for words in ("add cluster local", "add account lab", "add user root account=lab"):
            _run("sacctmgr", "-i", *words.split())
        _run("slurmctld")
        _run("slurmd", "-N", self.host)
        _until(f"sinfo -h -o %t | grep -q idle || scontrol update nodename={self.host} state=resume"
               " && sinfo -h -o %t | grep -q idle", 60)  # fmt: skip

    def _database(self) -> None:
        sql, socket_file = self.folder / "sql", self.folder / "sql.sock"
        _run("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={sql}",
             "--auth-root-authentication-method=normal")  # fmt: skip
        log = (self.folder / "mariadb.log").open("wb")
        self._started.append(
            subprocess.Popen(
                ["mariadbd", "--no-defaults", "--user=root", f"--datadir={sql}", f"--port={_PORT}",
                 "--bind-address=127.0.0.1", f"--socket={socket_file}",
                 f"--pid-file={self.folder / 'mariadb.pid'}"],
                stdout=log, stderr=log,
            )
        )  # fmt: skip
        client = f"mariadb --no-defaults -u root -S {socket_file}"
        _until(f"{client} -e 'select 1'", 60)
        statements = (
            "create database slurm_acct; create user slurm@'127.0.0.1' identified by 'slurm'; "
            "create user slurm@localhost identified by 'slurm'; "
            "grant all on slurm_acct.* to slurm@'127.0.0.1'; "
            "grant all on slurm_acct.* to slurm@localhost;"
        )
        subprocess.run([*client.split(), "-e", statements], check=True)


def sacct(*fields: str) -> list[dict[str, str]]:
    """Return the jobs that the accounting knows, without their steps."""
    done = subprocess.run(
        ["sacct", "-X", "-n", "-P", "-o", ",".join(fields)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [
        dict(zip(fields, line.split("|"), strict=True)) for line in done.stdout.splitlines() if line
    ]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def _until(command: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"{command}: not within {seconds} s: {done.stdout}{done.stderr}")
        time.sleep(0.5)


def _stop(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(100):
            time.sleep(0.1)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
