"""Spread independent tasks over processes or a Dask cluster; results come as they finish, and no death stops a run."""

import json
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from neurolatent.console import say
from neurolatent.errors import SettingsError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")
CONNECT_SECONDS = 10
DEATH = (
    "expected a process that lives until the end, got one that died, and died again when it ran alone. "
    "Give it more memory, or look at the scan."
)
_one_at_a_time = Lock()


def spread(
    work: Callable[[T], R],
    tasks: Sequence[T],
    *,
    lost: Callable[[T, str], R],
    jobs: int = 1,
    scheduler: str | None = None,
) -> Generator[R]:
    """Give each task's result once, in the order in which they finish.

    A task whose process dies (out of memory, say) is run again, after the others and alone; if that dies too, the task
    fails and not the run. An exception of `work` ends the run.

    Args:
        work: Importable where it runs; limits its libraries' threads itself.
        tasks: Independent of each other; each may be run more than once.
        lost: Makes the result of a task that killed its process, given the task and one sentence.
        jobs: Processes on this machine; none is started for one job or one task.
        scheduler: A Dask cluster to use instead: `tcp://host:8786`, or the path of a scheduler file.

    Raises:
        SettingsError: If the cluster cannot be used.
    """
    if scheduler is not None:
        with _connect(scheduler) as client:
            yield from _twice(partial(_on_cluster, client, work), tasks, lost)
    elif jobs > 1 and len(tasks) > 1:
        yield from _twice(partial(_in_processes, jobs, work), tasks, lost)
    else:
        yield from map(work, tasks)


def _twice(
    run: Callable[[Sequence[T], list[T]], Generator[R]], tasks: Sequence[T], lost: Callable[[T, str], R]
) -> Generator[R]:
    """Run all tasks; then those that were under way when a process died, alone: a neighbour may have been to blame."""
    suspects: list[T] = []
    yield from run(tasks, suspects)
    if suspects:
        say(f"A process died (out of memory?): {len(suspects)} of {len(tasks)} tasks are run again, one at a time.")
    for suspect in suspects:
        guilty: list[T] = []
        yield from run([suspect], guilty)
        yield from (lost(task, DEATH) for task in guilty)


def _in_processes(jobs: int, work: Callable[[T], R], tasks: Sequence[T], died: list[T]) -> Generator[R]:
    """Keep one task in flight for each process; all that fly when one dies are `died`, and new processes go on.

    joblib.Parallel would lose what is finished but not yet given out, and cannot tell which tasks those are.
    """
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError
    from joblib.parallel import ParallelBackendBase

    environment = dict.fromkeys(ParallelBackendBase.MAX_NUM_THREADS_VARS, "1")
    waiting, flying = deque(tasks), dict[Future[R], T]()
    try:
        while waiting or flying:
            pool = get_reusable_executor(max_workers=jobs, env=environment)
            with suppress(BrokenProcessPool):  # one died this moment: what flies tells so below
                while waiting and len(flying) < jobs:
                    flying[pool.submit(work, waiting[0])] = waiting[0]
                    waiting.popleft()
            for future in wait(flying, return_when=FIRST_COMPLETED).done:
                task = flying.pop(future)
                try:
                    result = future.result()
                except TerminatedWorkerError:
                    died.append(task)
                else:
                    yield result
    finally:
        if flying:
            get_reusable_executor(max_workers=jobs, env=environment).shutdown(kill_workers=True)


def _on_cluster(client: "Client", work: Callable[[T], R], tasks: Sequence[T], died: list[T]) -> Generator[R]:
    """Give the cluster all tasks; those for which Dask gives up, after as many dead workers as it allows, are `died`.

    joblib's Dask backend can stream, but waits forever for a task that Dask gives up (joblib 1.6: `_collect` calls no
    callback after an error), and any exception of one task throws away the results of all others.
    """
    from distributed import KilledWorker, as_completed
    from distributed.protocol.pickle import dumps, loads

    if not client.nthreads():
        say("The Dask cluster has no worker yet: waiting for one.")
    own, told = version("neurolatent"), set[str]()
    # Sealed: a worker that cannot import what it is sent would leave the cluster, and the run would wait for another.
    sealed, letters = dumps(partial(_signed, work)), [dumps(task) for task in tasks]
    futures = client.map(lambda letter: loads(sealed)(loads(letter)), letters, pure=False)  # pyright: ignore[reportUnknownLambdaType]
    flying = dict(zip(futures, tasks, strict=True))
    for future, outcome in as_completed(list(flying), loop=client.loop, with_results=True, raise_errors=False):
        task = flying.pop(future)
        if future.status == "finished":
            other, result = outcome
            if other not in {own, *told}:
                told.add(other)
                say(f"The cluster has neurolatent {other}, this machine {own}; results may differ: install the same.")
            yield result
        elif future.status == "error" and isinstance(outcome[1], KilledWorker):
            died.append(task)
        else:
            raise _failure(outcome[1] if future.status == "error" else None)


def _failure(error: BaseException | None) -> BaseException:
    """Put into words what nobody but the user can mend; None stands for a task of which the scheduler says no more."""
    if error is None:
        return SettingsError("The Dask scheduler went away. What is finished is kept: run again to go on.")
    if isinstance(error, ImportError):
        return SettingsError(
            f"A Dask worker says {str(error)!r}. Start the workers in the environment of this machine."
        )
    return error


def _signed(work: Callable[[T], R], task: T) -> tuple[str, R]:
    """Run on a worker, one task at a time even if it was started with more threads; tell by which version."""
    with _one_at_a_time:
        return version("neurolatent"), work(task)


def _connect(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        msg = f"{scheduler}: expected the package `distributed` for a Dask cluster. Install `neurolatent[cluster]`."
        raise SettingsError(msg) from error
    address = scheduler if "://" in scheduler else _address(Path(scheduler))
    try:
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = f"{scheduler}: expected a Dask scheduler at {address}, got no answer. Does it run, and can it be reached?"
        raise SettingsError(msg) from error


def _address(file: Path) -> str:
    try:
        return json.loads(file.read_text(encoding="utf-8"))["address"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{file}: expected `tcp://host:port`, or the file that `dask scheduler --scheduler-file` writes."
        raise SettingsError(msg) from error
