"""One function per command: each reads the files of earlier steps, holds the workspace, and does nothing twice.

Lightning, scikit-learn and SimpleITK load in the functions that need them: `neurolatent cohort list` should not wait.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neurolatent.analysis.finding import FILE_NAME as FINDING_NAME
from neurolatent.analysis.finding import Estimate, Finding, read_finding
from neurolatent.console import Outcome
from neurolatent.device import DeviceName, pick_device, usable_cores
from neurolatent.errors import SettingsError
from neurolatent.model.presets import find_preset
from neurolatent.model_steps import SHIPPED_RUN
from neurolatent.progress import Progress
from neurolatent.provenance import hash_settings, versions
from neurolatent.workspace import Workspace

if TYPE_CHECKING:
    from neurolatent.analysis.study import Study


@dataclass(frozen=True)
class PreprocessSettings:
    """Options of `preprocess`."""

    registration: Literal["rigid", "similarity", "affine"] = "affine"
    """To the template; between a person's scans it is always rigid."""
    brain_extractor: str | None = None
    """An installed program that makes the masks: synthstrip, hd-bet, or a command with {image} and {mask}."""
    ignore_given_masks: bool = False
    """Make all masks here, even where the source brings some."""
    allow_mixed_masks: bool = False
    """Go on where masks come from several makers, though a model can tell them apart."""
    dask: str | None = None
    """Address or scheduler file of a Dask cluster to use instead of processes here."""
    hold_out_visits: bool = False
    """Also make each person's volumes as they would be without each inner visit, for filling that visit in."""


def preprocess(
    root: Path,
    *,
    preset: str = SHIPPED_RUN,
    options: PreprocessSettings | None = None,
    jobs: int | None = None,
    source: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Bring every scan to the preset's grid; a bad scan is a line of the outcome and stops no other."""
    from neurolatent.volume.preprocess import Options  # torchio and SimpleITK load only here
    from neurolatent.volume.preprocess import preprocess as preprocess_scans

    options = options or PreprocessSettings()

    workspace = Workspace(root)
    with workspace.lock():
        result = preprocess_scans(
            workspace,
            spacing_mm=find_preset(preset).spacing_mm,
            view=find_preset(preset).view,
            options=Options(
                registration=options.registration,
                extractor=options.brain_extractor,
                ignore_given_masks=options.ignore_given_masks,
                allow_mixed_masks=options.allow_mixed_masks,
                hold_out_visits=options.hold_out_visits,
            ),
            jobs=jobs or usable_cores(),
            scheduler=options.dask,
            source=source,
            progress=progress,
        )
    lines = [f"{'/'.join(key)}: {message}" for key, message in result.failures]
    lines += [f"{'/'.join(key)}: left out, a reviewer failed it ({note})" for key, note in result.rejected]
    total = f"{result.done} preprocessed, {result.skipped} finished before, {len(result.failures)} failed"
    looked = f"{result.flagged} flagged: look at {workspace.quality_html}"
    return Outcome([*lines, total, looked], failed=bool(result.failures))


def run_protocol(
    protocol: str,
    root: Path,
    *,
    run: str = SHIPPED_RUN,
    seed: int = 1,
    settings: Any = None,
    device: DeviceName = "auto",
    slabs: int | None = None,
    progress: Progress | None = None,
) -> Finding:
    """Run one analysis; its finding, tables and maps lie in `findings/RUN/PROTOCOL`.

    Args:
        protocol: A name of `neurolatent.analysis.protocols.PROTOCOLS`.
        root: The workspace.
        run: Name of the model.
        seed: Of draws and resampling, where no settings are given.
        settings: The analysis's own `Settings`.
        device: Where to compute.
        slabs: In how many pieces the VAE works through a scan, on a GPU that cannot hold more.
        progress: Called as (what, done, total).
    """
    from neurolatent.analysis.protocols import PROTOCOLS
    from neurolatent.analysis.study import open_study, settle_steps

    if protocol not in PROTOCOLS:
        msg = f"Unknown protocol {protocol!r}; choose from {sorted(PROTOCOLS)}."
        raise SettingsError(msg)
    workspace = Workspace(root)
    kind, analyse = PROTOCOLS[protocol]
    chosen = settings or replace(kind(), seed=seed)
    with workspace.lock():
        study = open_study(workspace, run=run, device=pick_device(device), progress=progress, slabs=slabs)
        settled = settle_steps(chosen, study)
        return _finished(study, protocol, settled) or analyse(study, settled)


def _finished(study: "Study", protocol: str, settings: Any) -> Finding | None:
    """Return a finding made from the same files with the same settings and versions, so that nothing is done twice."""
    from neurolatent.analysis.codes import INDEX_NAME

    path = study.workspace.findings(study.run, protocol) / FINDING_NAME
    codes = study.workspace.codes(study.run) / INDEX_NAME
    if not path.is_file() or path.stat().st_mtime < codes.stat().st_mtime:  # codes of more scans may have come since
        return None
    finding = read_finding(path)
    wanted = [study.cache.hash, study.split.hash, study.card.weights_hash, asdict(settings), versions()]
    got = [finding.cohort["hash"], finding.split_hash, finding.weights_hash, finding.settings, finding.versions]
    return finding if hash_settings(got) == hash_settings(wanted) else None


def describe_finding(finding: Finding) -> str:
    """Return the finding's rows as aligned text."""
    lines = [f"{finding.title} ({finding.certificate}: {finding.certificate_reason})"]
    return "\n".join([*lines, *(_describe_estimate(row) for row in finding.estimates)])


def _describe_estimate(row: Estimate) -> str:
    interval = f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}] {row.unit}"
    return f"  {row.role:<10} {row.model:<40} {row.name:<22} {row.group:<16} {interval}, n = {row.n_subjects}"
