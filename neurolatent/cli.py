"""The command line: parse the words into a command, run it, and say in one line what a user can mend."""

import sys
import warnings
from dataclasses import field, make_dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, Positional

from neurolatent import steps
from neurolatent.commands import Command, WorkspacePath
from neurolatent.console import FAILED, console, progress_bars
from neurolatent.device import DeviceName
from neurolatent.errors import NeurolatentError
from neurolatent.training.crew import leave_at_once, started_as


def main(arguments: list[str] | None = None) -> None:
    """Run one command; exit with 0, with 1 on bad input (one line), or with 2 on wrong usage."""
    description = "What can a generative model truly tell about a cohort of brain scans? (--debug shows tracebacks)"
    run_command(Command, arguments, prog="neurolatent", description=description)


def run_script(protocol: str, arguments: list[str] | None = None) -> None:
    """Run a protocol as a script of its own, whose options are all the settings of the analysis."""
    from neurolatent.analysis.protocols import PROTOCOLS

    settings, _ = PROTOCOLS[protocol]
    options = [
        ("settings", settings, field(default_factory=settings)),
        ("run_name", Annotated[str, tyro.conf.arg(name="run", help="Name of the model.")], "demo"),
        ("device", DeviceName, "auto"),
        ("slabs", Annotated[int | None, tyro.conf.arg(help="Of the VAE, on a GPU that cannot hold a scan.")], None),
    ]

    def run(command: Any) -> int:
        with progress_bars() as progress:
            finding = steps.run_protocol(
                protocol,
                command.workspace,
                run=command.run_name,
                settings=command.settings,
                device=command.device,
                slabs=command.slabs,
                progress=progress,
            )
        print(steps.describe_finding(finding))
        return 0

    fields = [("workspace", Positional[WorkspacePath]), *options]
    command = make_dataclass(f"Run {protocol}".title().replace(" ", ""), fields, namespace={"run": run}, frozen=True)
    run_command(command, arguments, prog=f"{protocol}.py", description=settings.__doc__ or "")


def run_command(kind: Any, arguments: list[str] | None, *, prog: str, description: str) -> None:
    """Parse the words into a dataclass and run it; what a user can mend is told in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if not debug:
        warnings.simplefilter("ignore")
    config = (OmitSubcommandPrefixes, OmitArgPrefixes, FlagCreatePairsOff)
    command = tyro.cli(kind, args=words, prog=prog, description=description, config=config)
    try:
        sys.exit(command.run())
    except NeurolatentError as error:
        if debug:
            raise
        console.print(f"neurolatent: {error}", markup=False, style="red")
        if started_as().size > 1:
            leave_at_once(FAILED)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        console.print("neurolatent: stopped. The same command goes on where it was.", style="red")
        sys.exit(130)


if __name__ == "__main__":
    main()
