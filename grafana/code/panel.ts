import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge'
import type { Builder } from '@grafana/grafana-foundation-sdk/cog'
import {
  BarGaugeDisplayMode,
  BigValueColorMode,
  BigValueGraphMode,
  type BigValueTextMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common'
import {
  DashboardLinkBuilder,
  DashboardLinkType,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type Panel,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as Gauge } from '@grafana/grafana-foundation-sdk/gauge'
import {
  PanelBuilder as Heatmap,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  HeatmapColorScale,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as StateTimeline } from '@grafana/grafana-foundation-sdk/statetimeline'
import type { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as Timeseries } from '@grafana/grafana-foundation-sdk/timeseries'

export const datasource = { type: 'prometheus', uid: '${datasource}' }

export interface Query {
  readonly expr: string
  readonly legend?: string
  /** What the others are measured by is a dashed line. */
  readonly line?: keyof typeof lines
}

export interface Description {
  readonly title: string
  /** What one sees, and what to do about it. */
  readonly says: string
  readonly width: number
  readonly height: number
  readonly unit: string
  readonly decimals?: number
  readonly noValue?: string
  /** Alerts about what is shown here: the panel links to their runbooks. */
  readonly alerts?: readonly string[]
  readonly queries: readonly Query[]
}

export type Color = 'green' | 'yellow' | 'orange' | 'red' | 'blue' | 'text' | 'transparent'
/** The colour from the first value on, then from others on. */
export type Steps = readonly [Color, ...(readonly [number, Color])[]]

type Format = 'series' | 'newest' | 'table' | 'heatmap'
type AnyPanel = BarGauge | Gauge | Heatmap | Stat | StateTimeline | Table | Timeseries

export const refId = (index: number) => String.fromCharCode(65 + index)

function target(query: Query, index: number, format: Format): DataqueryBuilder {
  const built = new DataqueryBuilder().refId(refId(index)).datasource(datasource).expr(query.expr)
  if (query.legend !== undefined) built.legendFormat(query.legend)
  if (format === 'table') return built.format(PromQueryFormat.Table).instant()
  if (format === 'heatmap') return built.format(PromQueryFormat.Heatmap).range()
  return format === 'newest' ? built.instant() : built.range()
}

const runbook = (alert: string) =>
  new DashboardLinkBuilder(`Runbook: ${alert}`).type(DashboardLinkType.Link).url(runbookUrl(alert)).targetBlank(true)

/** `raw`, since the variable is a URL of which nothing is to be escaped. */
export const runbookUrl = (alert: string) => `\${runbooks:raw}/${alert}.md`

/** What every panel has, whatever it draws. */
export function describe<P extends AnyPanel>(panel: P, description: Description, format: Format): P {
  panel
    .title(description.title)
    .description(description.says)
    .span(description.width)
    .height(description.height)
    .datasource(datasource)
    .unit(description.unit)
    .links((description.alerts ?? []).map(runbook))
    .targets(description.queries.map((query, index) => target(query, index, format)))
  if (description.decimals !== undefined) panel.decimals(description.decimals)
  if (description.noValue !== undefined) panel.noValue(description.noValue)
  return panel
}

export const fixed = (color: Color): DynamicConfigValue => ({
  id: 'color',
  value: { mode: 'fixed', fixedColor: color },
})

export const thresholds = ([first, ...others]: Steps) =>
  new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([{ value: null, color: first }, ...others.map(([value, color]) => ({ value, color }))])

const byThresholds = () => new FieldColorBuilder().mode(FieldColorModeId.Thresholds)
const newest = () => new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false)
const legend = () =>
  new VizLegendOptionsBuilder().displayMode(LegendDisplayMode.List).placement(LegendPlacement.Bottom).showLegend(true)
const tooltip = () => new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending)

export interface StatDescription extends Description {
  readonly steps: Steps
  /** What is written: the value (and where there are several, what each is called), only what it is called, or always both. */
  readonly text?: 'auto' | 'name' | 'value_and_name'
  /** Whether several stand below each other, each over the whole width; else as there is room. */
  readonly stacked?: boolean
  /** Whether the whole tile takes the colour: for what somebody must see from afar. */
  readonly loud?: boolean
}

export function stat(description: StatDescription): Stat {
  return describe(new Stat(), description, 'newest')
    .colorScheme(byThresholds())
    .thresholds(thresholds(description.steps))
    .reduceOptions(newest())
    .graphMode(BigValueGraphMode.None)
    .colorMode(description.loud ? BigValueColorMode.Background : BigValueColorMode.Value)
    .textMode((description.text ?? 'auto') as BigValueTextMode)
    .orientation(description.stacked ? VizOrientation.Horizontal : VizOrientation.Auto)
}

export interface GaugeDescription extends Description {
  readonly steps: Steps
  readonly max?: number
}

export function gauge(description: GaugeDescription & { readonly max: number }): Gauge {
  return describe(new Gauge(), description, 'newest')
    .colorScheme(byThresholds())
    .thresholds(thresholds(description.steps))
    .reduceOptions(newest())
    .min(0)
    .max(description.max)
    .showThresholdMarkers(false)
}

export function bars(description: GaugeDescription): BarGauge {
  const panel = describe(new BarGauge(), description, 'newest')
    .colorScheme(byThresholds())
    .thresholds(thresholds(description.steps))
    .reduceOptions(newest())
    .orientation(VizOrientation.Horizontal)
    .displayMode(BarGaugeDisplayMode.Basic)
    .min(0)
  return description.max === undefined ? panel : panel.max(description.max)
}

const lines = {
  target: 'blue',
  'soft limit': 'orange',
  'hard limit': 'red',
} as const satisfies Record<string, Color>

export interface CurveDescription extends Description {
  readonly stacked?: boolean
  readonly max?: number
  /** From here on an alert begins: a line, where that is no series of its own. */
  readonly alertFrom?: number
}

/** A line that is interrupted where nothing was measured: what is unknown is not drawn as if it were known. */
export function curves(description: CurveDescription): Timeseries {
  const panel = describe(new Timeseries(), description, 'series')
    .min(0)
    .fillOpacity(description.stacked ? 40 : 0)
    .lineWidth(1)
    .showPoints(VisibilityMode.Auto)
    .spanNulls(false)
    .legend(legend())
    .tooltip(tooltip())
  if (description.stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'))
  if (description.max !== undefined) panel.max(description.max)
  if (description.alertFrom !== undefined) {
    panel
      .thresholds(thresholds(['transparent', [description.alertFrom, 'red']]))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed))
  }
  description.queries.forEach((query, index) => {
    if (query.line === undefined) return
    panel.overrideByQuery(refId(index), [
      fixed(lines[query.line]),
      { id: 'custom.lineStyle', value: { fill: 'dash', dash: [10, 10] } },
      { id: 'custom.stacking', value: { mode: 'none' } },
      { id: 'custom.fillOpacity', value: 0 },
    ])
  })
  return panel
}

export interface TimelineDescription extends Description {
  readonly steps: Steps
}

export function timeline(description: TimelineDescription): StateTimeline {
  return describe(new StateTimeline(), description, 'series')
    .colorScheme(byThresholds())
    .thresholds(thresholds(description.steps))
    .showValue(VisibilityMode.Never)
    .mergeValues(true)
    .fillOpacity(80)
    .lineWidth(0)
    .rowHeight(0.8)
    .legend(legend().showLegend(false))
    .tooltip(tooltip())
}

export function heatmap(description: Description): Heatmap {
  return describe(new Heatmap(), description, 'heatmap')
    .calculate(false)
    .color(
      new HeatmapColorOptionsBuilder()
        .mode(HeatmapColorMode.Scheme)
        .scheme('Blues')
        .scale(HeatmapColorScale.Exponential)
        .exponent(0.5)
        .steps(64),
    )
    .yAxis(new YAxisConfigBuilder().unit(description.unit))
    .hideLegend()
}

/** An override of the thresholds, for the one of several series that is judged in another way. */
export const judged = (steps: Steps): DynamicConfigValue => ({ id: 'thresholds', value: thresholds(steps).build() })

export type Built = Builder<Panel>
