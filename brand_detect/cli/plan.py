"""The command that estimates the cost of an escalation."""

from dataclasses import asdict
from logging import getLogger
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from brand_detect.cli.common import JobArg, JsonOpt, SetOpt, err, home, out, overrides_of
from brand_detect.cli.local import Bars
from brand_detect.domain.settings import Settings
from brand_detect.domain.words import counted

if TYPE_CHECKING:
    from brand_detect.orchestration.plan import Plan


def plan(
    job_id: JobArg,
    settings: SetOpt = [],  # noqa: B006 typer copies it
    model: Annotated[
        list[str], typer.Option(metavar="PROVIDER:MODEL", help="also estimate this model; repeatable")
    ] = [],  # noqa: B006
    as_json: JsonOpt = False,
) -> None:
    """Estimate the cost of an escalation; no model is asked.

    Shows questions, tokens, dollars and minutes.

    Examples:
      brand-detect plan match-3f9a1c07
      brand-detect plan match-3f9a1c07 --model openai:gpt-5-mini
    """
    from brand_detect.orchestration.plan import plan as estimate
    from brand_detect.orchestration.resources import Services

    home()
    services = Services.of(Settings.load())
    with Bars() as bars:
        report = bars.stage("plan", getLogger(__name__))
        found = estimate(services, job_id, overrides_of(settings), model, report)
    if as_json:
        out.print_json(data=asdict(found))
    else:
        out.print(_table(found))
    for note in found.notes:
        err.print(f"note: {note}", markup=False, highlight=False)


def _table(plan: "Plan") -> Table:
    left = f"{counted(plan.clusters, 'cluster')} of {counted(plan.tracks, 'track')}"
    title = f"{plan.job_id}: {left} left unresolved by {plan.stage}"
    table = Table(title=title, caption="~ assumed: this model has not answered in this job yet", box=None)
    for name in ("stage", "model"):
        table.add_column(name)
    for name in ("clusters", "known", "calls", "put off", "tokens in", "tokens out", "USD", "minutes"):
        table.add_column(name, justify="right")
    for e in plan.estimates:
        about = "" if e.measured else "~"
        table.add_row(
            *(e.stage, f"{e.provider}:{e.model}", str(e.clusters), str(e.remembered), str(e.calls), str(e.put_off)),
            *(f"{e.input_tokens}", f"{about}{e.output_tokens}", f"{about}{e.usd:.4f}", f"{about}{e.minutes:.1f}"),
        )
    return table
