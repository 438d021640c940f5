"""Makes raytune.json, the Grafana dashboard of studies and endpoints; `make grafana` runs it, nobody edits the file.

Built with the types that Grafana publishes, and told to be of the schema of Grafana 11, which later ones migrate.
"""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef, VariableRefresh

from deploy.grafana.charts import CHOICES, ROWS, Chart

FILE = Path(__file__).with_name("raytune.json")
SCHEMA = 39
_WIDTH, _HEIGHT = 8, 8
_SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")


def to_json() -> str:
    """The whole dashboard, ready to import or to provision."""
    builder = (
        dashboard.Dashboard("raytune")
        .uid("raytune")
        .tags(["ray", "raytune"])
        .time("now-1h", "now")
        .refresh("10s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("source").label("data source").type("prometheus"))
    )
    for label, metric in CHOICES:
        builder.with_variable(_choice(label, metric))
    number = 0
    for title, charts in ROWS:
        number += 1
        builder.with_row(dashboard.Row(title).id(number))
        for chart in charts:
            number += 1
            builder.with_panel(_panel(chart, number))
    made = builder.build()
    made.schema_version = SCHEMA
    return JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n"


def _choice(label: str, metric: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(label).query(f"label_values({metric}, {label})").datasource(_SOURCE)
    return variable.multi(True).include_all(True).all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)


def _panel(chart: Chart, number: int) -> timeseries.Panel:
    panel = timeseries.Panel().id(number).title(chart.title).description(chart.meaning).unit(chart.unit)
    panel.datasource(_SOURCE).span(_WIDTH).height(_HEIGHT)
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    panel.legend(legend.show_legend(True))
    if chart.stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    for place, curve in enumerate(chart.curves):
        query = prometheus.Dataquery().expr(curve.expr).legend_format(curve.legend)
        panel.with_target(query.ref_id("ABCDEFGH"[place]).range())
    return panel


if __name__ == "__main__":
    FILE.write_text(to_json(), encoding="utf-8")
