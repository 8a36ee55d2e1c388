import { z } from 'zod'
import { byThresholds, mappings, overrides, type Property, stacking, thresholds, unit } from './look.ts'

/**
 * The part of Grafana's dashboards that is drawn here. Everything else is refused by its name, so that no picture shows less than
 * its dashboard: who wants a new option draws it first.
 */

/** Says nothing about how the dashboard looks before somebody points or clicks at it. */
export const unseen = z.unknown().optional()

const noValue = z.string().optional()
const decimals = z.number().optional()
const max = z.number().optional()
const words = { unit: unit.optional(), decimals, mappings: mappings.optional(), noValue }

const newest = z.strictObject({ calcs: z.tuple([z.literal('lastNotNull')]), values: z.literal(false) })
const noLegend = z.looseObject({ showLegend: z.literal(false) })

const place = {
  id: z.number(),
  title: z.string(),
  gridPos: z.strictObject({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
}

const target = z.strictObject({
  refId: z.string(),
  expr: z.string(),
  legendFormat: unseen,
  format: unseen,
  instant: unseen,
  range: unseen,
  datasource: unseen,
})

const panel = <Type extends string, Defaults extends z.ZodRawShape, Options extends z.ZodRawShape>(
  type: Type,
  defaults: Defaults,
  ids: Property[],
  options: Options,
) =>
  z.strictObject({
    ...place,
    type: z.literal(type),
    targets: z.array(target),
    transparent: z.literal(false),
    datasource: unseen,
    description: z.string().optional(),
    links: unseen,
    /** Which way a panel repeats that does: none does, `repeat` is refused. */
    repeatDirection: unseen,
    fieldConfig: z.strictObject({ defaults: z.strictObject(defaults), overrides: overrides(...ids) }),
    options: z.strictObject(options),
  })

const transformations = z
  .array(
    z.discriminatedUnion('id', [
      z.strictObject({ id: z.literal('merge'), options: z.strictObject({}) }),
      z.strictObject({
        id: z.literal('organize'),
        options: z.strictObject({
          excludeByName: z.record(z.string(), z.boolean()),
          indexByName: z.record(z.string(), z.number()),
          renameByName: z.record(z.string(), z.string()),
        }),
      }),
    ]),
  )
  .optional()

const row = z.strictObject({ ...place, type: z.literal('row'), collapsed: z.literal(false), panels: z.tuple([]) })

const stat = panel('stat', { ...words, thresholds, color: byThresholds }, ['color', 'thresholds'], {
  colorMode: z.enum(['background', 'value']),
  textMode: z.enum(['auto', 'name', 'value_and_name']),
  graphMode: z.literal('none'),
  justifyMode: z.literal('auto'),
  orientation: z.enum(['auto', 'horizontal']),
  showPercentChange: z.literal(false),
  percentChangeColorMode: unseen,
  wideLayout: z.literal(true),
  reduceOptions: newest,
})

const gauge = panel(
  'gauge',
  { ...words, max, min: z.literal(0), thresholds, color: byThresholds },
  ['color', 'thresholds'],
  {
    showThresholdMarkers: z.literal(false),
    showThresholdLabels: z.literal(false),
    orientation: z.literal('auto'),
    sizing: z.literal('auto'),
    minVizHeight: unseen,
    minVizWidth: unseen,
    reduceOptions: newest,
  },
)

const bargauge = panel(
  'bargauge',
  { ...words, max, min: z.literal(0), thresholds, color: byThresholds },
  ['color', 'thresholds'],
  {
    displayMode: z.literal('basic'),
    valueMode: z.literal('color'),
    namePlacement: z.literal('auto'),
    orientation: z.literal('horizontal'),
    showUnfilled: z.literal(true),
    sizing: z.literal('auto'),
    minVizHeight: z.number(),
    maxVizHeight: unseen,
    minVizWidth: unseen,
    legend: noLegend,
    reduceOptions: newest,
  },
)

const timeseries = panel(
  'timeseries',
  {
    unit: unit.optional(),
    decimals,
    noValue,
    max,
    min: z.literal(0),
    thresholds: thresholds.optional(),
    custom: z.strictObject({
      fillOpacity: z.number(),
      lineWidth: z.literal(1),
      showPoints: z.literal('auto'),
      spanNulls: z.literal(false),
      stacking: stacking.optional(),
      thresholdsStyle: z.strictObject({ mode: z.literal('dashed') }).optional(),
    }),
  },
  ['color', 'custom.lineStyle', 'custom.stacking', 'custom.fillOpacity'],
  {
    legend: z.strictObject({
      calcs: z.tuple([]),
      displayMode: z.literal('list'),
      placement: z.literal('bottom'),
      showLegend: z.literal(true),
    }),
    tooltip: unseen,
  },
)

const timeline = panel(
  'state-timeline',
  {
    unit: unit.optional(),
    noValue,
    thresholds,
    color: byThresholds,
    custom: z.strictObject({ fillOpacity: z.number(), lineWidth: z.literal(0) }),
  },
  ['color'],
  {
    showValue: z.literal('never'),
    /** Of the words in the spans, which are never shown. */
    alignValue: unseen,
    mergeValues: z.literal(true),
    rowHeight: z.number(),
    perPage: z.number(),
    legend: noLegend,
    tooltip: unseen,
  },
)

const heatmap = panel('heatmap', { unit: unit.optional(), noValue, custom: z.strictObject({}) }, [], {
  calculate: z.literal(false),
  cellGap: z.literal(1),
  color: z.strictObject({
    mode: z.literal('scheme'),
    scheme: z.literal('Blues'),
    scale: z.literal('exponential'),
    exponent: z.number(),
    steps: z.number(),
    reverse: z.literal(false),
    fill: unseen,
  }),
  filterValues: z.strictObject({ le: z.number() }),
  legend: z.strictObject({ show: z.literal(false) }),
  yAxis: z.strictObject({ unit }),
  /** In cells that have room for it: there is none where every step of the time is a column. */
  showValue: z.literal('auto'),
  exemplars: unseen,
  selectionMode: unseen,
  tooltip: unseen,
})

const table = panel(
  'table',
  { ...words, custom: z.strictObject({ align: z.literal('auto'), inspect: unseen }) },
  ['custom.width', 'unit', 'decimals', 'links', 'mappings', 'custom.cellOptions', 'min', 'max', 'color'],
  {
    cellHeight: z.literal('sm'),
    footer: z.looseObject({ show: z.literal(false) }),
    frameIndex: z.literal(0),
    showHeader: z.literal(true),
    showTypeIcons: z.literal(false),
    sortBy: z.tuple([z.strictObject({ displayName: z.string(), desc: z.boolean() })]),
  },
).extend({ transformations })

export const anyPanel = z.discriminatedUnion('type', [row, stat, gauge, bargauge, timeseries, timeline, heatmap, table])

export type RowPanel = z.infer<typeof row>
export type StatPanel = z.infer<typeof stat>
export type GaugePanel = z.infer<typeof gauge>
export type BarGaugePanel = z.infer<typeof bargauge>
export type TimeseriesPanel = z.infer<typeof timeseries>
export type TimelinePanel = z.infer<typeof timeline>
export type HeatmapPanel = z.infer<typeof heatmap>
export type TablePanel = z.infer<typeof table>
export type AnyPanel = z.infer<typeof anyPanel>
export type QueryPanel = Exclude<AnyPanel, RowPanel>
