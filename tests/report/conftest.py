"""A small workspace as the steps before the report leave it: a file of each kind, its numbers made up."""

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image, PngImagePlugin
from scipy.ndimage import affine_transform, gaussian_filter

from neurolatent.analysis.finding import Estimate, Fact, Finding, write_finding
from neurolatent.cohort.exclusion import Exclusion
from neurolatent.cohort.sidecar import Counts, Sidecar, write_sidecar
from neurolatent.cohort.splits import make_split, write_split
from neurolatent.cohort.visits import Visit, write_visits
from neurolatent.model.weights import Card, StageRecord, write_card
from neurolatent.report.records import Summary
from neurolatent.report.summary import summarise
from neurolatent.volume.cache import VolumeCache, write_cache
from neurolatent.volume.space import Grid
from neurolatent.volume.template import template_maps
from neurolatent.workspace import Workspace

RUN = "demo"
GRID = Grid(4.0)
SOURCE_ROOT = "/private/clinic/raw-scans"
WEIGHTS_HASH = "e" * 64
PEOPLE = 24
MONTHS = (0.0, 12.0, 24.0)
METHOD = "percentile bootstrap over subjects, 2000 resamples"


def mean_brain() -> np.ndarray:
    """The MNI template on the small grid."""
    maps = template_maps()
    voxel_from_voxel = np.linalg.inv(maps.world_from_voxel) @ GRID.world_from_voxel
    smooth = gaussian_filter(np.asarray(maps.t1, dtype=np.float32), 1.2)
    return affine_transform(smooth, voxel_from_voxel, output_shape=GRID.shape, order=1).astype(np.float32)


def visits_of(people: int = PEOPLE, *, first_id: str = "sub-S1P0000") -> list[Visit]:
    """Three visits a person, diagnoses in turn."""
    rng = np.random.default_rng(5)
    ids = [first_id, *(f"sub-S1P{number:04d}" for number in range(1, people))]
    rows: list[Visit] = []
    for number, participant in enumerate(ids):
        age, diagnosis = float(rng.uniform(58, 88)), ("CN", "MCI", "AD")[number % 3]
        sex, site = ("F", "M")[number % 2], f"site-{number % 2}"
        rows += [
            Visit(
                participant, f"ses-M{months:02.0f}", "1", months, round(age + months / 12, 1), 0.1, sex, diagnosis,
                "clinical", site, 3.0, "phantom", "given", f"20111023/{participant}_raw.nii.gz",
            )
            for months in MONTHS
        ]  # fmt: skip
    return rows


def write_images(workspace: Workspace, visits: list[Visit], brain: np.ndarray) -> VolumeCache:
    rng = np.random.default_rng(6)
    mask = brain > 0.05

    def scans():
        for visit in visits:
            noise = rng.normal(0, 0.02, GRID.shape)
            darkening = {"CN": 0.0, "MCI": 0.03, "AD": 0.06}[visit.diagnosis or "CN"]
            volume = np.clip(brain * (1 - darkening) + noise, 0, 1) * mask
            yield visit.key, volume.astype(np.float32), mask, f"hash of {'/'.join(visit.key)}"

    return write_cache(workspace.cache(4.0), scans(), count=len(visits), grid=GRID, preprocessing="f" * 64)


def sidecar_of(visits_hash: str = "0" * 64) -> Sidecar:
    young = "expected an age of 1 to 120 years, got 400. Correct the table, or write n/a."
    raw = "20111023/sub-S1P0031_T1w.nii.gz"
    return Sidecar(
        cohort="phantom",
        title="Digital phantom, balanced arm",
        simulation=True,
        source_root=Path(SOURCE_ROOT),
        sources=(),
        columns={},
        exclusions=(
            Exclusion(raw, raw, f"no row in the table for {SOURCE_ROOT}/{raw}", "warning", "match"),
            Exclusion("sub-S1P0032_T1w.nii.gz", "participants.tsv line 33", young, "error", "check"),
            Exclusion("sub-S1P0039_T1w.nii.gz", "participants.tsv line 40", young, "error", "check"),
        ),
        counts=Counts(found=75, matched=74, kept=72, participants=PEOPLE, people_in_tables=PEOPLE + 2),
        expected_participants=None,
        expected_scans=None,
        diagnosis_rule="simulated",
        diagnosis_source="participants.tsv",
        licence="Apache-2.0",
        licence_url=None,
        apply="",
        citation="The neurolatent developers. The digital phantom of neurolatent.",
        descriptor_hash="d" * 64,
        visits_hash=visits_hash,
    )


def write_some_card(workspace: Workspace) -> None:
    people = tuple(("phantom", f"sub-S7P{number:04d}") for number in range(200))
    stages = {
        name: StageRecord(
            people[:180],
            "a" * 64,
            people[180:],
            supervised=False,
            steps=steps,
            planned_steps=steps,
            seconds=100.0,
            metrics=metrics,
        )
        for name, steps, metrics in (
            ("vae", 1000, {"validation_ssim": 0.962}),
            ("denoiser", 1200, {"validation_loss": 0.2114}),
            ("autoencoder", 1500, {"validation_loss": 0.1873}),
        )
    }
    card = Card(
        preset="demo", settings={}, architecture="b" * 64, preprocessing="f" * 64, latent_scale=0.9,
        stages=stages, files={},
        weights_hash=WEIGHTS_HASH, versions={}, licence="Apache-2.0", seed=7,
    )  # fmt: skip
    write_card(workspace.model(RUN), card)


def write_pictures(workspace: Workspace, brain: np.ndarray) -> None:
    folder = workspace.derivatives / "qc"
    folder.mkdir(parents=True)
    planes = [np.rot90(brain[26]), np.rot90(brain[:, 30]), np.rot90(brain[:, :, 24])]
    tallest = max(len(plane) for plane in planes)
    row = np.hstack([np.pad(plane, ((0, tallest - len(plane)), (0, 0))) for plane in planes])
    for number in range(2):
        image = Image.fromarray((255 * np.clip(row, 0, 1)).astype(np.uint8))
        text = PngImagePlugin.PngInfo()
        text.add_text("Source", f"{SOURCE_ROOT}/20111023")
        image.save(folder / f"sub-S1P000{number}_ses-M00_run-1.png", pnginfo=text)
    header = "participant_id\tsession_id\trun\tstatus\treason\tmask_source\taffine_correlation\tmask_volume_ml"
    lines = [f"sub-S1P{n:04d}\tses-M00\t1\tdone\tn/a\tfound\t{0.8 + n / 500:.3f}\t{1400 + 11 * n}" for n in range(4)]
    lines.append("sub-S1P0009\tses-M12\t1\tfailed\texpected one 3D volume, got shape (4, 4, 4, 2)\tn/a\tn/a\tn/a")
    workspace.quality_tsv.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def estimate(role: str, model: str, name: str, value: float, half: float, **options: object) -> Estimate:
    row = Estimate(role, model, name, value, value - half, value + half, "", 16, 16, METHOD)
    return replace(row, **options)


def finding(cache: VolumeCache, protocol: str, estimates: list[Estimate], **options: object) -> Finding:
    plain = Finding(
        protocol=protocol,
        title=protocol.replace("_", " "),
        cohort={"name": "phantom", "n_subjects": PEOPLE, "n_scans": 72, "hash": cache.hash},
        split_hash="",
        weights_hash=WEIGHTS_HASH,
        certificate="certified",
        certificate_reason="every stage was trained on people of another phantom.",
        seed=1,
        simulation=True,
        settings={"folds": 5, "seed": 1},
        estimates=estimates,
        versions={"neurolatent": "0.1.0", "torch": "2.13.0"},
    )
    return replace(plain, **options)


def save_map(folder: Path, name: str, values: np.ndarray) -> str:
    nib.Nifti1Image(values.astype(np.float32), GRID.world_from_voxel).to_filename(folder / f"{name}.nii.gz")
    return f"{name}.nii.gz"


def save_table(folder: Path, name: str, rows: pd.DataFrame) -> str:
    rows.to_csv(folder / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    return f"{name}.tsv"


def keys_of(people: int) -> dict[str, object]:
    return {"participant_id": [f"sub-S1P{n:04d}" for n in range(people)], "session_id": "ses-M00", "run": "1"}


def classification(workspace: Workspace, cache: VolumeCache) -> Finding:
    folder = workspace.findings(RUN, "classify_ad")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    truth = np.arange(60) % 2
    strengths = {"semantic_code": 1.3, "voxel_pca": 1.5, "measured_volumes": 1.1, "oracle": 2.2}
    rows = pd.DataFrame(
        keys_of(60) | {"fold": np.arange(60) // 12, "truth": truth}
        | {name: truth * strength + rng.normal(0, 1, 60) for name, strength in strengths.items()}
    )  # fmt: skip
    better = {"name": "ROC-AUC", "higher_is_better": True}
    estimates = [
        estimate("model", "semantic code", value=0.842, half=0.071, versus="voxel PCA", **better),
        estimate("baseline", "voxel PCA", value=0.861, half=0.063, **better),
        estimate("baseline", "measured volumes", value=0.803, half=0.082, **better),
        estimate("ceiling", "oracle", value=0.941, half=0.041, **better),
        estimate("difference", "semantic code − voxel PCA", value=-0.019, half=0.055, versus="voxel PCA", **better),
        estimate(
            "difference",
            "semantic code − measured volumes",
            value=0.039,
            half=0.031,
            versus="measured volumes",
            **better,
        ),
        estimate("difference", "semantic code − oracle", value=-0.099, half=0.031, versus="oracle", **better),
    ]
    return finding(cache, "classify_ad", estimates, tables={"predictions": save_table(folder, "predictions", rows)})


def age(workspace: Workspace, cache: VolumeCache) -> Finding:
    folder = workspace.findings(RUN, "regress_age")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(2)
    true = rng.uniform(57, 88, 80)
    rows = pd.DataFrame(
        keys_of(80)
        | {"fold": np.arange(80) // 16, "diagnosis": np.array(["CN", "MCI", "AD"])[np.arange(80) % 3],
         "age_years": true, "semantic_code": 72 + 0.7 * (true - 72) + rng.normal(0, 4.5, 80),
         "stochastic_code": 72 + rng.normal(0, 4, 80), "voxel_pca": 72 + 0.6 * (true - 72) + rng.normal(0, 4.5, 80),
         "mean_age": 72.0}
    )  # fmt: skip
    worse = {"name": "MAE", "unit": "years", "higher_is_better": False, "n_subjects": 80, "n_scans": 80}
    estimates = [
        estimate("model", "semantic code", value=4.21, half=0.62, versus="mean age", **worse),
        estimate("baseline", "stochastic code", value=7.02, half=0.81, **worse),
        estimate("baseline", "voxel PCA", value=4.65, half=0.66, **worse),
        estimate("baseline", "mean age", value=7.85, half=0.84, **worse),
        estimate("difference", "semantic code − mean age", value=-3.64, half=0.71, versus="mean age", **worse),
        estimate(
            "difference", "semantic code − stochastic code", value=-2.81, half=0.75, versus="stochastic code", **worse
        ),
        estimate("difference", "semantic code − voxel PCA", value=-0.44, half=0.39, versus="voxel PCA", **worse),
    ]
    facts = [Fact("slope of gap on age", -0.3127, "years per year", "semantic code, test people")]
    tables = {"predictions": save_table(folder, "predictions", rows)}
    return finding(cache, "regress_age", estimates, facts=facts, tables=tables)


def missing_visit(workspace: Workspace, cache: VolumeCache, brain: np.ndarray) -> Finding:
    folder = workspace.findings(RUN, "fill_missing_visit")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    estimates: list[Estimate] = []
    model = "latent interpolation"
    baselines = {"linear blend": 0.936, "carry-forward": 0.928, "latent blend": 0.925}
    levels = {model: 0.921} | baselines | {"VAE ceiling": 0.958}
    for name, better, half in (
        ("masked SSIM", True, 0.0041),
        ("masked MSE", False, 0.000083),
        ("whole-grid SSIM", True, 0.0032),
    ):
        for group, loss in (("all", 0.010), *((f"span {span} months", span / 2000) for span in (12, 18, 24, 30, 36))):
            n = 40 if group == "all" else 8
            shared = {"name": name, "group": group, "higher_is_better": better, "n_subjects": n - 2, "n_scans": n}
            values = {method: level - loss if better else (1 - level + loss) / 50 for method, level in levels.items()}
            for method, value in values.items():
                role = "model" if method == model else "baseline" if method in baselines else "ceiling"
                versus = "linear blend" if role == "model" else None
                estimates.append(estimate(role, method, value=value, half=half, versus=versus, **shared))
            for other in baselines:
                change = values[model] - values[other]
                estimates.append(
                    estimate("difference", f"{model} − {other}", value=change, half=half, versus=other, **shared)
                )
    maps = {}
    names = ("before", "target", "after", "model", "carry_forward", "linear_blend", "latent_blend", "vae_ceiling")
    for number, name in enumerate(names):
        blur = 0.8 if name in {"model", "latent_blend", "vae_ceiling"} else 0.0
        volume = gaussian_filter(brain, blur) * (1 - 0.01 * number) + rng.normal(0, 0.015, GRID.shape) * (brain > 0.05)
        maps[f"example_{name}"] = save_map(folder, f"example_{name}", np.clip(volume, 0, 1))
    notes = ["40 triplets of 24 test people, drawn span by span.", "SSIM also rewards averaged noise."]
    settings = {"seed": 1, "steps": 10, "triplets": 40, "resamples": 2000}
    return finding(cache, "fill_missing_visit", estimates, maps=maps, notes=notes, settings=settings)


def counterfactual(workspace: Workspace, cache: VolumeCache, brain: np.ndarray) -> Finding:
    folder = workspace.findings(RUN, "age_counterfactual")
    folder.mkdir(parents=True)
    rng = np.random.default_rng(4)
    edge = (gaussian_filter(brain, 1.0) - gaussian_filter(brain, 3.0)) * (brain > 0.05)
    noise = gaussian_filter(rng.normal(0, 0.05, GRID.shape), 1)
    fields = {
        "change_truth": -edge,
        "change_model": -0.6 * gaussian_filter(edge, 1.0) + noise,
        "change_voxel_slope": -0.7 * edge + rng.normal(0, 0.02, GRID.shape),
    }
    maps = {name: save_map(folder, name, field * (brain > 0.05)) for name, field in fields.items()}
    maps["mean_image"] = save_map(folder, "mean_image", brain)
    better = {"name": "correlation with the true change", "higher_is_better": True}
    estimates = [
        estimate("model", "edited code", value=0.412, half=0.052, versus="voxelwise age slope", **better),
        estimate("baseline", "voxelwise age slope", value=0.507, half=0.041, **better),
        estimate(
            "difference",
            "edited code − voxelwise age slope",
            value=-0.095,
            half=0.038,
            versus="voxelwise age slope",
            **better,
        ),
    ]
    return finding(cache, "age_counterfactual", estimates, maps=maps, settings={"years": 10, "scans": 24})


def reconstruction(workspace: Workspace, cache: VolumeCache, brain: np.ndarray) -> Finding:
    folder = workspace.findings(RUN, "reconstruct")
    folder.mkdir(parents=True)
    scans = keys_of(2) | {"method": "vae", "steps": "n/a", "ssim": [0.957, 0.959], "mse": 0.001}
    steps = pd.DataFrame(
        {"steps": [2, 5, 10, 20, 50], "ssim": [0.871, 0.921, 0.943, 0.949, 0.951], "mse": 0.002, "n": 5}
    )
    blurs = {"original": 0.0, "vae": 0.5, "code_and_noise": 0.6, "code_only": 1.2}
    maps = {
        f"example_{name}": save_map(folder, f"example_{name}", gaussian_filter(brain, blur))
        for name, blur in blurs.items()
    }
    better = {"name": "masked SSIM", "higher_is_better": True}
    estimates = [
        estimate("model", "code and inferred noise", value=0.943, half=0.006, versus="training mean image", **better),
        estimate("model", "code alone", value=0.781, half=0.021, versus="another person's code", **better),
        estimate("baseline", "another person's code", value=0.702, half=0.022, **better),
        estimate("baseline", "training mean image", value=0.735, half=0.018, **better),
        estimate("ceiling", "VAE", value=0.958, half=0.004, **better),
        estimate(
            "difference",
            "code alone − another person's code",
            value=0.079,
            half=0.012,
            versus="another person's code",
            **better,
        ),
        estimate(
            "difference",
            "code alone − training mean image",
            value=0.046,
            half=0.014,
            versus="training mean image",
            **better,
        ),
        estimate("difference", "code and inferred noise − VAE", value=-0.015, half=0.002, versus="VAE", **better),
    ]
    facts = [
        Fact("SD of the inferred noise", 0.971, "", "12 scans"),
        Fact("autocorrelation of neighbours", 0.083, "", "12 scans"),
    ]
    tables = {"scans": save_table(folder, "scans", pd.DataFrame(scans)), "steps": save_table(folder, "steps", steps)}
    return finding(cache, "reconstruct", estimates, facts=facts, maps=maps, tables=tables)


def build_workspace(root: Path) -> Workspace:
    """Write the whole workspace."""
    workspace, brain, visits = Workspace(root), mean_brain(), visits_of()
    write_visits(workspace.visits_tsv, visits)
    write_sidecar(workspace.visits_json, sidecar_of())
    split = make_split(visits, seed=1)
    write_split(workspace.split_json, split)
    cache = write_images(workspace, visits, brain)
    write_pictures(workspace, brain)
    write_some_card(workspace)
    found = (
        classification(workspace, cache),
        age(workspace, cache),
        missing_visit(workspace, cache, brain),
        counterfactual(workspace, cache, brain),
        reconstruction(workspace, cache, brain),
    )
    for one in found:
        write_finding(workspace.findings(RUN, one.protocol), replace(one, split_hash=split.hash))
    return workspace


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace, to be read only."""
    return build_workspace(tmp_path_factory.mktemp("report") / "phantom")


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace, to be changed."""
    shutil.copytree(built.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


@pytest.fixture(scope="session")
def summary(built: Workspace) -> Summary:
    """The whole summary."""
    return summarise(built, run=RUN)
