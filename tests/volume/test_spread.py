"""Claims about spreading tasks: each result once, as it comes, whatever dies. Work is local: it travels by value."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from threading import Timer

import pytest

from neurolatent.errors import SettingsError
from neurolatent.volume import spread as module
from neurolatent.volume.spread import spread

pytestmark = pytest.mark.filterwarnings("ignore:Port 8787 is already in use")  # of the scheduler's status page


@pytest.fixture(scope="module")
def start_cluster(tmp_path_factory):
    """Start clusters on this machine that give a task up after the second death, not the fourth, to save time."""
    pytest.importorskip("distributed", reason="needs neurolatent[cluster]")
    import dask
    from distributed import LocalCluster

    clusters = []

    def start(workers: int, **options) -> LocalCluster:
        clusters.append(
            LocalCluster(
                n_workers=workers,
                host="127.0.0.1",
                protocol="tcp://",
                dashboard_address=None,
                worker_dashboard_address=None,
                memory_limit=None,
                local_directory=str(tmp_path_factory.mktemp("dask")),
                **options,
            )
        )
        return clusters[-1]

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        yield start
        for cluster in clusters:
            cluster.close()


@pytest.fixture(scope="module")
def cluster(start_cluster):
    return start_cluster(2, threads_per_worker=1)


@pytest.fixture(params=["processes", "cluster"])
def options(request) -> dict:
    if request.param == "processes":
        return {"jobs": 2}
    return {"scheduler": request.getfixturevalue("cluster").scheduler_address}


def lost(task: int, why: str) -> str:
    return f"{task}: {why}"


def squares() -> Callable[[int], int]:
    return lambda number: number**2


def dies_at_3(folder: Path, *, deaths: int) -> Callable[[int], int]:
    """Make work that marks each try, and kills its process in the first tries of task 3."""

    def work(task: int) -> int:
        tries = len(list(folder.glob(f"{task}-*"))) + 1
        (folder / f"{task}-{tries}").touch()
        if task == 3 and tries <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return task

    return work


def waits_for(file: Path, *, seconds: float) -> Callable[[int], int]:
    """Make work whose task 0 ends when the file is there, or fails for lack of it."""

    def work(task: int) -> int:
        until = time.monotonic() + seconds
        while task == 0 and not file.exists():
            if time.monotonic() > until:
                raise TimeoutError(file.name)
            time.sleep(0.01)
        return task

    return work


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_every_result_comes_once(options):
    assert sorted(spread(squares(), range(20), lost=lost, **options)) == [number**2 for number in range(20)]


def test_no_task_gives_no_result(options):
    assert list(spread(squares(), [], lost=lost, **options)) == []


@pytest.mark.parametrize(("tasks", "jobs"), [([0, 1, 2], 1), ([7], 8)])
def test_one_job_or_one_task_needs_no_other_process(tasks, jobs):
    assert set(spread(lambda _task: os.getpid(), tasks, lost=lost, jobs=jobs)) == {os.getpid()}


def test_results_come_as_they_finish_while_an_earlier_task_is_under_way(options, tmp_path):
    results = spread(waits_for(tmp_path / "go", seconds=20), [0, 1, 2, 3], lost=lost, **options)
    first = next(results)
    (tmp_path / "go").touch()
    assert first != 0
    assert sorted([first, *results]) == [0, 1, 2, 3]


def test_a_task_whose_process_dies_is_run_again_and_no_result_is_lost_or_doubled(options, tmp_path):
    assert sorted(spread(dies_at_3(tmp_path, deaths=1), range(8), lost=lost, **options)) == list(range(8))
    assert (tmp_path / "3-2").exists()


def test_a_task_that_always_kills_its_process_fails_alone(options, tmp_path, capsys):
    results = list(spread(dies_at_3(tmp_path, deaths=99), range(8), lost=lost, **options))
    assert sorted(result for result in results if result != lost(3, module.DEATH)) == [0, 1, 2, 4, 5, 6, 7]
    assert results.count(lost(3, module.DEATH)) == 1
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if "A process died (out of memory?)" in line]) == 1


def test_an_exception_of_the_work_ends_the_run(options):
    def work(task: int) -> int:
        if task == 2:
            msg = "expected a head"
            raise ValueError(msg)
        return task

    with pytest.raises(ValueError, match="expected a head"):
        list(spread(work, range(4), lost=lost, **options))


def test_a_worker_that_lacks_a_package_is_told_in_one_line_and_stays(cluster):
    class Foreign:
        def __reduce__(self):
            return import_module, ("absent_on_the_cluster",)

    with pytest.raises(SettingsError, match=r"says .No module named 'absent_on_the_cluster'.*Start the workers in"):
        list(spread(lambda task: task, [Foreign()], lost=lost, scheduler=cluster.scheduler_address))
    assert list(spread(squares(), [3], lost=lost, scheduler=cluster.scheduler_address)) == [9]


def test_processes_keep_to_one_thread_from_the_start():
    threads = spread(lambda _task: os.environ["OMP_NUM_THREADS"], range(4), lost=lost, jobs=2)
    assert set(threads) == {"1"}


def test_a_run_that_is_left_early_leaves_nothing_running(options, tmp_path):
    results = spread(dies_at_3(tmp_path, deaths=0), range(200), lost=lost, **options)
    next(results)
    results.close()
    started = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= started + 2 < 100


def test_a_worker_with_many_threads_still_runs_one_task_at_a_time(start_cluster):
    def work(_task: int) -> tuple[float, float]:
        start = time.monotonic()
        time.sleep(0.1)
        return start, time.monotonic()

    cluster = start_cluster(1, threads_per_worker=4, processes=False)
    spans = sorted(spread(work, range(4), lost=lost, scheduler=cluster.scheduler_address))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_a_scheduler_file_serves_as_well_as_an_address(cluster, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    assert set(spread(squares(), range(3), lost=lost, scheduler=str(file))) == {0, 1, 4}


def test_a_cluster_without_workers_is_waited_for_and_that_is_said(start_cluster, capsys):
    cluster = start_cluster(0, threads_per_worker=1, processes=False)
    Timer(0.5, cluster.scale, [1]).start()
    assert list(spread(squares(), [4], lost=lost, scheduler=cluster.scheduler_address)) == [16]
    assert "no worker yet: waiting" in capsys.readouterr().err


def test_another_version_on_the_cluster_is_told_once(cluster, monkeypatch, capsys):
    monkeypatch.setattr(module, "version", lambda _package: "0.0.0")
    assert len(list(spread(squares(), range(5), lost=lost, scheduler=cluster.scheduler_address))) == 5
    assert capsys.readouterr().err.count("this machine 0.0.0; results may differ") == 1


def test_a_scheduler_that_goes_away_ends_the_run_in_one_line(start_cluster, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
    cluster = start_cluster(1, threads_per_worker=1, processes=False)
    results = spread(waits_for(tmp_path / "never", seconds=3), [1, 0], lost=lost, scheduler=cluster.scheduler_address)
    assert next(results) == 1
    cluster.close()
    with pytest.raises(SettingsError, match=r"scheduler went away\. What is finished is kept: run again"):
        list(results)


def test_an_unreachable_scheduler_is_named(monkeypatch):
    pytest.importorskip("distributed", reason="needs neurolatent[cluster]")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(SettingsError, match=f"{address}: expected a Dask scheduler"):
        list(spread(squares(), [1], lost=lost, scheduler=address))


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_a_file_that_is_no_scheduler_file_is_refused(content, tmp_path):
    pytest.importorskip("distributed", reason="needs neurolatent[cluster]")
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=r"scheduler\.json: expected `tcp://host:port`, or the file that"):
        list(spread(squares(), [1], lost=lost, scheduler=str(file)))


def test_without_dask_the_way_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"Install `neurolatent\[cluster\]`"):
        list(spread(squares(), [1], lost=lost, scheduler="tcp://127.0.0.1:8786"))
