"""A report as a page to read: one file, no script, nothing loaded from anywhere."""

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from app.fine_tuning.report_charts import bar_chart, learning_curve
from app.fine_tuning.report_schemas import FineTuningReport
from app.properties.catalogue import Transform
from app.registry.references import CHAMPION

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
)
"""Should a name ever get past the escaping, the browser runs and loads nothing."""

_NO_BREAK = "\N{NO-BREAK SPACE}"


def render_page(report: FineTuningReport) -> str:
    """HTML."""
    tournament = report.tournament
    return _template().render(
        report=report,
        unit="" if report.property.unit == "1" else f" ({report.property.unit})",
        scale="" if report.property.transform is Transform.IDENTITY else report.property.transform.value,
        is_champion=CHAMPION in report.model.aliases,
        bars=bar_chart(tournament) if tournament is not None else None,
        curve=learning_curve(tournament) if tournament is not None else None,
        parts={name: part for name, part in report.metrics if part is not None},
    )


def duration(seconds: float) -> str:
    """Of 75.2 s `1 min 15 s`."""
    if seconds < 60:
        text = f"{seconds:.1f} s"
    else:
        minutes, rest = divmod(round(seconds), 60)
        text = f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    return text.replace(" ", _NO_BREAK)


def p_value(value: float) -> str:
    """Nobody reads the difference between 1e-9 and 1e-12."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


@lru_cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("app.fine_tuning"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "duration": duration,
        "p_value": p_value,
        "figure": "{:.4g}".format,
        "share": "{:.0%}".format,
    }
    return environment.get_template("report.html")
