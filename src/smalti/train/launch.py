"""The processes that `accelerate launch --cpu --num_processes N` means, where it starts only one.

On CPUs Accelerate leaves it to MPI to start processes. Without MPI it runs a single one, with the
address at which the others should meet, and the number of them is nowhere but in its own command
line. So this one process starts N of itself, by `torch.distributed.run`, which comes with torch.
"""

import os
import subprocess
import sys


def processes_to_start() -> int:
    """N, in a process that such a command left alone; 1 everywhere else."""
    environment = os.environ
    alone = not {"RANK", "LOCAL_RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"} & set(environment)
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() == "true"
    if not (alone and on_cpu and environment.get("MASTER_ADDR") == "127.0.0.1"):
        return 1
    import psutil  # Accelerate's own dependency

    command = psutil.Process().parent().cmdline()
    for place, word in enumerate(command[:-1]):
        name, equals, value = word.partition("=")
        if name == "--num_processes":
            return int(value if equals else command[place + 1])
    return 1


def start(processes: int, arguments: list[str]) -> int:
    """Run `smalti arguments` in so many processes on this machine; the exit code."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nproc_per_node={processes}",
        f"--master_port={os.environ['MASTER_PORT']}",
        *("-m", "smalti", *arguments),
    ]
    child = subprocess.Popen(command)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C reaches the child too; it ends when a checkpoint is written
