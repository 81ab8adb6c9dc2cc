"""A batch in pieces, by several processes, in other arithmetic: the same is learnt, and what ails is said."""

import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from neurolatent import cli
from neurolatent.errors import ScanError, SettingsError
from neurolatent.model.autoencoder import LatentDiffusionAutoencoder
from neurolatent.model.presets import PRESETS
from neurolatent.model.weights import load_autoencoder, read_card
from neurolatent.training import stages
from neurolatent.training.batches import Scans, validation_batches
from neurolatent.training.crew import started_as
from neurolatent.training.draws import Draws
from neurolatent.training.engine import Engine, portion
from neurolatent.training.fit import FitOptions, fit_stage
from neurolatent.training.log import read_losses
from neurolatent.training.modules import EXPLODED, REMEMBERED_LOSSES, VALIDATION_SEED, CompressionStage
from tests.training.conftest import CPU, train_tiny

STAGES = ("vae", "denoiser", "autoencoder")
TINY = PRESETS["tiny"]
SHORT = replace(TINY, **{name: replace(getattr(TINY, name), steps=6, batch=4) for name in STAGES})
LOGGED = replace(TINY, **{name: replace(getattr(TINY, name), steps=10, batch=4) for name in STAGES})
PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from torch.nn.utils import parameters_to_vector
from neurolatent.model.presets import PRESETS
from neurolatent.training.engine import Engine
from neurolatent.training.stages import train
from neurolatent.volume.cache import open_cache

torch.set_num_threads(1)
preset = PRESETS["tiny"]
for name in ("vae", "denoiser", "autoencoder"):
    preset = replace(preset, **{name: replace(getattr(preset, name), steps=6, batch=4)})
train(open_cache(Path(sys.argv[1])), Path(sys.argv[2]), preset=preset, training_rows=range(10),
      validation_rows=[10, 11], cohort="ellipsoids", seed=1, device=torch.device(sys.argv[4]), checkpoint_seconds=0.05,
      engine=Engine(precision=sys.argv[3]))
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def train_by_two(cache: Path, folder: Path, precision: str, *, device: str = "cpu") -> None:
    """Start two processes as torchrun does, and wait for both."""
    group = {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "TORCHELASTIC_RUN_ID": "test",
    }  # fmt: skip
    command = [sys.executable, "-c", PROCESS, str(cache), str(folder), precision, device]
    both = [
        subprocess.Popen(command, env={**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]


def largest_difference(one: Path, other: Path) -> float:
    """Return the largest relative difference of any network of two models.

    Not of any tensor: Adam steps as far along a gradient that is nothing but rounding as along any other.
    """
    models = [load_autoencoder(folder, device=CPU)[0] for folder in (one, other)]
    differences = []
    for name in ("vae", "denoiser", "semantic", "gradient"):
        first, second = (parameters_to_vector(model.get_submodule(name).parameters()) for model in models)
        differences.append(float((first - second).norm() / second.norm()))
    return max(differences)


@pytest.fixture(scope="module")
def plain(brains, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    train_tiny(brains, folder, preset=SHORT)
    return folder


@pytest.mark.parametrize(("precision", "bound"), [("fp64", 1e-9), ("fp32", 1e-4)])
def test_two_processes_learn_what_one_does(brains, tmp_path, precision, bound):
    """Weights are kept in float32, whose rounding would show a difference of 1e-7: in float64 there is none."""
    cache = Path(brains.volumes.filename).parent
    train_tiny(brains, tmp_path / "one", preset=SHORT, engine=Engine(precision=precision))
    train_by_two(cache, tmp_path / "two", precision)
    assert largest_difference(tmp_path / "two", tmp_path / "one") < bound
    for stage in STAGES:  # what is logged is the loss of the whole batch, not of the first process's share
        one, two = (read_losses(tmp_path / name / "training" / f"{stage}.csv") for name in ("one", "two"))
        assert [step for step, _ in two] == [1, 2, 3, 4, 5, 6]
        bound_of_losses = 1e-5 if precision == "fp64" else 1e-3
        assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=bound_of_losses)


def test_a_batch_in_pieces_teaches_what_a_whole_one_does(brains, tmp_path):
    folders = [tmp_path / "whole", tmp_path / "pieces"]
    for folder, at_once in zip(folders, (None, 1), strict=True):
        engine = Engine(precision="fp64", scans_at_once=at_once)
        train_tiny(brains, folder, preset=SHORT, engine=engine, checkpoint_seconds=0.0)
    assert largest_difference(*folders) < 1e-9
    whole, pieces = (read_losses(folder / "training" / "denoiser.csv") for folder in folders)
    assert [step for step, _ in pieces] == [step for step, _ in whole]
    assert [loss for _, loss in pieces] == pytest.approx([loss for _, loss in whole], rel=1e-3)


def test_readers_of_their_own_change_nothing(brains, plain, tmp_path):
    train_tiny(brains, tmp_path, preset=SHORT, engine=Engine(workers=2))
    assert read_card(tmp_path).weights_hash == read_card(plain).weights_hash


def test_places_of_all_processes_and_pieces_are_the_batch():
    portions = [portion(12, rank=rank, size=3, at_once=2) for rank in range(3)]
    assert all(one.pieces == 2 for one in portions)
    assert sorted(place for one in portions for piece in range(2) for place in one.places(piece)) == list(range(12))


@pytest.mark.parametrize(
    ("size", "at_once", "says"),
    [
        (3, None, "A batch of 16 scans: expected a number of processes that divides it, got 3. Start 2."),
        (2, 3, "--scans-at-once: expected a divisor of 8, a process's share of a batch, got 3. Try 2."),
    ],
)
def test_what_cannot_be_shared_evenly_is_refused(size, at_once, says):
    with pytest.raises(SettingsError, match=says):
        portion(16, rank=0, size=size, at_once=at_once)


def test_slurm_says_who_a_process_is(monkeypatch):
    for name, value in {"NTASKS": "8", "NTASKS_PER_NODE": "4", "PROCID": "5", "JOB_NAME": "train"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    crew = started_as()
    assert (crew.rank, crew.size, crew.a_node, crew.nodes, crew.first) == (5, 8, 4, 2, False)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert started_as().size == 1


def test_half_precision_on_a_cpu_and_absent_loggers_are_refused(brains, tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="--precision fp16: expected a GPU, got a CPU"):
        train_tiny(brains, tmp_path, engine=Engine(precision="fp16"))
    monkeypatch.setattr("neurolatent.training.engine.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="--loggers wandb: expected the package 'wandb', found none"):
        train_tiny(brains, tmp_path, engine=Engine(loggers=("wandb",)))


def test_patience_ends_a_stage_and_keeps_its_best(brains, tmp_path):
    """At a hopeless learning rate nothing gets better after the first check."""
    steep = replace(TINY.autoencoder, steps=60, learning_rate=0.3, patience=2, check_every=5, schedule="constant")
    card = train_tiny(brains, tmp_path, preset=replace(SHORT, autoencoder=steep))
    stage = card.stages["autoencoder"]
    done = len(read_losses(tmp_path / "training" / "autoencoder.csv"))
    assert stage.steps % 5 == 0
    assert done == stage.steps + 10 < 60
    assert stage.planned_steps == 60
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_rate_stays_where_the_schedule_is_constant():
    model = LatentDiffusionAutoencoder(TINY)
    module = CompressionStage(
        model,
        length=replace(TINY.vae, schedule="constant"),
        steps=100,
        seed=0,
        name_scans=list,
    )
    assert [module.rate_at(step) for step in (0, 50, 99)] == pytest.approx([0.1, 1.0, 1.0])
    module.length = TINY.vae
    assert module.rate_at(99) < 0.01


def test_the_optimiser_is_the_presets():
    model = LatentDiffusionAutoencoder(TINY)
    found = {}
    for name in ("adamw", "adam"):
        length = replace(TINY.vae, optimiser=name)
        module = CompressionStage(model, length=length, steps=10, seed=0, name_scans=list)
        found[name] = module.configure_optimizers()["optimizer"]
    assert [(type(one).__name__, one.defaults["betas"], one.defaults["weight_decay"]) for one in found.values()] == [
        ("AdamW", (0.9, 0.99), 1e-4),
        ("Adam", (0.9, 0.999), 0),
    ]


def test_an_exploding_loss_names_its_scans():
    model = LatentDiffusionAutoencoder(TINY)
    module = CompressionStage(
        model,
        length=TINY.vae,
        steps=10,
        seed=0,
        name_scans=lambda rows: [f"scan {row}" for row in rows],
    )
    batch = {"step": 0, "rows": [4, 7]}
    for _ in range(REMEMBERED_LOSSES):
        module.refuse_exploded(torch.tensor([1.0, 1.0]), batch)
    module.refuse_exploded(torch.tensor([1.0, EXPLODED - 1]), batch)
    with pytest.raises(ScanError, match=r"scan 7: expected a loss below 1e\+03 at step 0, got 1e\+04"):
        module.refuse_exploded(torch.tensor([1.0, 10 * EXPLODED]), batch)
    with pytest.raises(ScanError, match=r"scan 4, scan 7: expected .* got nan, inf"):
        module.refuse_exploded(torch.tensor([float("nan"), float("inf")]), batch)


class Slowly:
    """Change nothing, and take time for it."""

    seconds = 0.05

    def describe(self):
        return {"seconds": self.seconds}

    def __call__(self, volume, _key):
        time.sleep(self.seconds)
        return volume


def test_the_time_spent_waiting_is_on_the_card(brains, plain, tmp_path):
    """Six steps of four scans, before the first of which nobody counts."""
    stage = train_tiny(brains, tmp_path, preset=SHORT, augment=Slowly()).stages["vae"]
    waited = stage.waiting_share * stage.seconds
    assert waited == pytest.approx(5 * 4 * Slowly.seconds, rel=0.3)
    assert read_card(plain).stages["vae"].waiting_share < stage.waiting_share


def test_the_documented_slurm_job_can_share_every_batch_of_base(monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    nodes, tasks = (int(re.search(rf"--{name}=(\d+)", page)[1]) for name in ("nodes", "ntasks-per-node"))
    for stage in STAGES:
        portion(getattr(PRESETS["base"], stage).batch, rank=0, size=nodes * tasks, at_once=None)


def test_a_slurm_job_takes_up_no_checkpoint_that_is_not_its_own(brains, plain, tmp_path, monkeypatch):
    """lightning would go on from any hpc_ckpt file of the working directory."""
    job = {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0"}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}}, "hpc_ckpt_1.ckpt")
    train_tiny(brains, tmp_path / "model", preset=SHORT)
    assert read_card(tmp_path / "model").weights_hash == read_card(plain).weights_hash


def test_readers_are_as_many_as_a_process_has_cores(monkeypatch):
    monkeypatch.setattr("neurolatent.training.engine.usable_cores", lambda: 12)
    gpu = torch.device("cuda")
    assert [Engine().readers(CPU), Engine(workers=3).readers(CPU), Engine().readers(gpu)] == [0, 3, 8]
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert Engine().readers(gpu) == 3


def test_of_several_processes_one_that_fails_says_why_and_does_not_wait_for_the_others(tmp_path, monkeypatch, capsys):
    class LeftError(Exception):
        pass

    def leave(code):
        raise LeftError(code)

    monkeypatch.setattr("neurolatent.training.crew.os._exit", leave)
    for name, value in {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LeftError, match="1"):
        cli.main(["train", str(tmp_path), "--preset", "base", "--device", "cpu"])
    assert "--preset base: expected a GPU, got a CPU" in capsys.readouterr().err


def test_a_preset_for_gpus_asks_before_it_trains_on_a_cpu(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^1$"):
        cli.main(["train", str(tmp_path), "--preset", "base", "--device", "cpu"])
    assert "--preset base: expected a GPU, got a CPU" in capsys.readouterr().err


def test_tensorboard_gets_every_tenth_loss(brains, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    longer = replace(SHORT, vae=replace(SHORT.vae, steps=30))
    train_tiny(brains, tmp_path, preset=longer, engine=Engine(loggers=("tensorboard",), scans_at_once=2))
    events = EventAccumulator(str(tmp_path / "training" / "tensorboard" / "vae"))
    events.Reload()
    table = dict(read_losses(tmp_path / "training" / "vae.csv"))
    logged = {event.step + 1: event.value for event in events.Scalars("loss")}
    assert list(logged) == [10, 20, 30]
    assert [table[step] for step in logged] == pytest.approx(list(logged.values()), rel=1e-4)


def test_every_stage_is_a_run_of_its_own_for_mlflow(brains, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train_tiny(brains, tmp_path, preset=LOGGED, engine=Engine(loggers=("mlflow",)))
    store = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'training' / 'mlflow.db'}")
    runs = store.search_runs([store.get_experiment_by_name("neurolatent").experiment_id])
    assert {run.info.run_name for run in runs} == set(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        table = dict(read_losses(tmp_path / "training" / f"{run.info.run_name}.csv"))
        assert run.data.metrics["loss"] == pytest.approx(table[10], rel=1e-4)
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("ml")} == set()


def test_every_stage_is_a_run_of_its_own_for_weights_and_biases(brains, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train_tiny(brains, tmp_path, preset=LOGGED, engine=Engine(loggers=("wandb",)))
    assert len(list((tmp_path / "training" / "wandb").glob("offline-run-*"))) == len(STAGES)


class Interruption(Exception):  # noqa: N818  # no error: a test stops a training with it
    """What a test stops a training with."""


def interrupt_at(stage: str, step: int):
    """Return a progress that stops a training; its checkpoint of that step is not yet written then."""

    def progress(what, done, _total, note=""):
        if (what, done) == (stage, step):
            raise Interruption

    return progress


@pytest.mark.parametrize("at_once", [(None, 1), (1, None)])
def test_a_training_goes_on_with_another_number_of_scans_at_once(brains, tmp_path, at_once):
    before, after = (Engine(precision="fp64", scans_at_once=number) for number in at_once)
    options = {"preset": SHORT, "checkpoint_seconds": 0.0}
    train_tiny(brains, tmp_path / "whole", engine=before, **options)
    with pytest.raises(Interruption):
        train_tiny(brains, tmp_path / "cut", engine=before, progress=interrupt_at("denoiser", 4), **options)
    train_tiny(brains, tmp_path / "cut", engine=after, **options)
    assert largest_difference(tmp_path / "cut", tmp_path / "whole") < 1e-9


def test_a_stage_that_may_stop_early_goes_on_as_if_never_cut(brains, tmp_path):
    patient = replace(SHORT, denoiser=replace(SHORT.denoiser, steps=20, patience=3, check_every=4))
    options = {"preset": patient, "checkpoint_seconds": 0.0}
    whole = train_tiny(brains, tmp_path / "whole", **options)
    for step in (5, 9, 13):
        with pytest.raises(Interruption):
            train_tiny(brains, tmp_path / "cut", progress=interrupt_at("denoiser", step), **options)
    cut = train_tiny(brains, tmp_path / "cut", **options)
    assert (cut.weights_hash, cut.stages["denoiser"].steps) == (whole.weights_hash, whole.stages["denoiser"].steps)


def test_a_training_cut_after_its_last_step_keeps_what_it_learnt(brains, plain, tmp_path, monkeypatch):
    def fail(*_args, **_options):
        raise Interruption

    with monkeypatch.context() as patch:
        patch.setattr(stages, "validate", fail)
        with pytest.raises(Interruption):
            train_tiny(brains, tmp_path, preset=SHORT, checkpoint_seconds=0.0)
    train_tiny(brains, tmp_path, preset=SHORT)
    assert read_card(tmp_path).weights_hash == read_card(plain).weights_hash


def test_what_is_kept_of_a_patient_stage_is_the_average_that_was_checked(brains, tmp_path):
    length = replace(TINY.vae, steps=20, patience=2, check_every=5, ema_decay=0.9)
    preset = replace(TINY, vae=length)
    model = LatentDiffusionAutoencoder(preset)
    options = FitOptions(
        steps=20, seed=1, device=CPU, checkpoint=tmp_path / "vae.ckpt", log=tmp_path / "vae.csv",
        checkpoint_seconds=1e9, progress=None,
    )  # fmt: skip
    validation = Scans(brains, [10, 11], 1)
    fit_stage(model, "vae", Scans(brains, range(10), 1), options, validation)
    (batch,) = validation_batches(validation, 4, want_volumes=True, want_latents=False)
    module = CompressionStage(model, length=length, steps=20, seed=1, name_scans=list)
    with torch.no_grad():
        loss = module.losses(batch, Draws(seed=VALIDATION_SEED, step=0, places=batch["places"])).mean()
    states = torch.load(options.best, weights_only=True)["callbacks"]
    (score,) = (state["best_model_score"] for state in states.values() if "best_model_score" in state)
    assert float(loss) == pytest.approx(float(score), rel=1e-5)
