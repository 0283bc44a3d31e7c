"""A Slurm of two nodes on this machine, for tests: `python -m tests.clusters.slurm up FOLDER`, and `down FOLDER`.

All that it has is in FOLDER, which `up` makes and `down` removes: munge's key and socket, slurm.conf, state, logs.
It runs as root, needs neither systemd nor control groups, and keeps no accounts: `squeue` knows jobs for an hour after
their end. Its ports are free ones of the loopback interface. `up` prints the line for a shell
in which clients find it.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
NODES = ("node1", "node2")  # of one processor each
LONGEST_SOCKET = 100  # bytes of a path; Linux takes 107
MARK = "REPMEDSAM_TEST_CLUSTER"  # in the environment of all that `up` starts
PATIENCE = 30.0  # seconds until Slurm must be there, or gone

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SchedulerType=sched/backfill
MinJobAge=3600
KillWait=5
ReturnToService=0
SlurmdTimeout=300
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=16000
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=16000
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Those of Slurm and munge that are not installed."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def environment_without_slurm() -> dict[str, str]:
    """This process's environment, less what Slurm says to a job and to its commands."""
    theirs = ("SLURM_", "SBATCH_", "SRUN_")
    return {name: value for name, value in os.environ.items() if not name.startswith(theirs)}


def client_environment(folder: Path, environment: dict[str, str] | None = None) -> dict[str, str]:
    """The environment, by default this process's, in which Slurm's commands ask this cluster."""
    kept = environment_without_slurm() if environment is None else environment
    return {**kept, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": f"{folder / 'bin'}:{kept.get('PATH', '')}"}


def up(folder: Path) -> list[subprocess.Popen[bytes]]:
    """Make the folder and start all in it, waiting until both nodes are idle; returns what was started.

    Raises:
        RuntimeError: Slurm did not start; the message has the end of its logs, and nothing of it runs.

    """
    started: list[subprocess.Popen[bytes]] = []
    if len(os.fsencode(folder / "munge.socket")) > LONGEST_SOCKET:
        raise RuntimeError(f"{folder} has too long a name for a socket in it")
    folder.mkdir(mode=0o755)
    try:
        write_files(folder)
        munged = ("munged", "--foreground", "--force", "--num-threads=2")
        places = [f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "log", "pid", "seed")]
        started.append(start(folder, "munged", *munged, *places, f"--socket={folder}/munge.socket"))
        wait_for((folder / "munge.socket").exists, "munged")
        started.append(start(folder, "slurmctld", "slurmctld", "-D", "-c", "-f", f"{folder}/slurm.conf"))
        started.extend(start(folder, one, "slurmd", "-D", "-N", one, "-f", f"{folder}/slurm.conf") for one in NODES)
        wait_for(lambda: idle_nodes(folder) == len(NODES), "nodes")
    except BaseException as error:
        logs = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in folder.glob("*.log"))
        down(folder)
        for one in started:
            one.wait()
        if isinstance(error, Exception):
            raise RuntimeError(f"Slurm did not start ({error})\n{logs}") from error
        raise
    return started


def write_files(folder: Path) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    (folder / "state").mkdir()
    for node in NODES:
        (folder / f"spool.{node}").mkdir()
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=free_ports(3)))

    # Snakemake's plugin takes SLURM_CONF out of the environment of its srun, which then looks in /etc/slurm.
    program = folder / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    program.chmod(0o755)


def free_ports(count: int) -> list[int]:
    """Different ports that nothing listens at now."""
    taken = [socket.socket() for _ in range(count)]
    try:
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
    finally:
        for one in taken:
            one.close()


def start(folder: Path, name: str, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; what it says goes to NAME.out.log."""
    environment = {**client_environment(folder), MARK: str(folder)}
    environment["PATH"] = os.pathsep.join((environment.get("PATH", ""), "/usr/sbin"))
    with (folder / f"{name}.out.log").open("wb") as log:
        return subprocess.Popen(
            [program, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def idle_nodes(folder: Path) -> int:
    asked = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
    said = subprocess.run(asked, env=client_environment(folder), capture_output=True, text=True, check=False)
    return len(said.stdout.split())


def wait_for(there: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Raise TimeoutError where it does not become true."""
    end = time.monotonic() + patience
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not after {patience:.0f} s")
        time.sleep(0.05)


def down(folder: Path) -> None:
    """End every process of this cluster and of its jobs, and remove the folder; it need not have come up."""
    while found := list(processes(folder)):
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def processes(folder: Path) -> Iterator[int]:
    """Those that `up` started, what they started in turn, and jobs, by what only these have in their environments."""
    ours = f"{MARK}={folder}".encode()
    asks, in_job = f"SLURM_CONF={folder}/slurm.conf".encode(), b"SLURM_JOB_ID="
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")  # nothing, once it has ended
            except OSError:
                continue
            if ours in variables or (asks in variables and any(one.startswith(in_job) for one in variables)):
                yield int(entry.name)


def main() -> int:
    usage = "usage: python -m tests.clusters.slurm up|down FOLDER\n"
    if len(sys.argv) != 3 or sys.argv[1] not in ("up", "down"):
        sys.stderr.write(usage)
        return 2
    folder = Path(sys.argv[2]).absolute()
    if sys.argv[1] == "down":
        down(folder)
        return 0
    missing = missing_programs()
    if missing:
        sys.stderr.write(f"error: {', '.join(missing)}: not installed (Debian: slurm-wlm, munge)\n")
        return 3
    up(folder)
    sys.stdout.write(f"export SLURM_CONF={folder}/slurm.conf PATH={folder}/bin:$PATH\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
