"""When everybody was scanned, and with which diagnosis."""

from collections.abc import Sequence

from neurolatent.cohort.description import Person
from neurolatent.cohort.visits import DIAGNOSES, MISSING
from neurolatent.report import numbers
from neurolatent.report.drawing import BLUE, GREEN, GREY, ORANGE, PALE, VERMILION, sheet, to_svg
from neurolatent.report.records import Figure

COLOURS = {"CN": BLUE, "MCI": ORANGE, "AD": VERMILION, "other": GREEN, MISSING: GREY}
MANY = 150
"""Beyond so many people points stand so close that they are drawn small."""


def timeline_figure(people: Sequence[Person]) -> Figure | None:
    """Draw a line for each person, a point for each scan; nothing where everybody came once."""
    if not any(one.months > 0 for one in people):
        return None
    order = [*DIAGNOSES, MISSING]
    ranked = sorted(people, key=lambda one: (order.index(one.first.diagnosis or MISSING), one.months))
    with sheet(2.6) as page:
        axes = page.subplots()
        width = min(0.8, 60 / len(ranked))
        for place, one in enumerate(ranked):
            axes.plot([one.first.months, one.visits[-1].months], [place, place], color=PALE, linewidth=width, zorder=0)
        for name in order:
            points = [
                (visit.months, place)
                for place, one in enumerate(ranked)
                for visit in one.visits
                if (visit.diagnosis or MISSING) == name
            ]
            if points:
                label = "not stated" if name == MISSING else name
                size = 3.0 if len(ranked) > MANY else 9.0
                axes.scatter(*zip(*points, strict=True), s=size, color=COLOURS[name], label=label, linewidths=0)
        axes.set(xlabel="months since the first scan", ylabel="people", yticks=[])
        axes.margins(y=0.02)
        axes.legend(title="diagnosis at the scan", loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6)
        content = to_svg(page)
    scans = sum(len(one.visits) for one in people)
    again = sum(one.months > 0 for one in people)
    return Figure(
        name="timeline",
        title="When everybody was scanned",
        caption="Each line is a person, each point a scan, coloured by the diagnosis then; people are sorted by their "
        "diagnosis at the first scan and the length of their follow-up.",
        alt=f"Timeline of {numbers.people_and_scans(len(people), scans)}; {numbers.count(again, 'person', 'people')} "
        f"came again, within {max(one.months for one in people):.0f} months.",
        media_type="image/svg+xml",
        content=content,
    )
