import { z } from 'zod'
import { type Color, isColor } from './colors.ts'
import { type UnitName, units } from './units.ts'

/**
 * The part of Grafana's dashboards that is drawn here. Everything else is refused by its name, so that no picture shows less than
 * its dashboard: who wants a new option draws it first.
 */

/** Says nothing about how the dashboard looks before somebody points or clicks at it. */
const unseen = z.unknown().optional()
const named = <Name extends string>(...names: Name[]) =>
  Object.fromEntries(names.map((name) => [name, unseen])) as Record<Name, typeof unseen>

const color = z.custom<Color>((name) => typeof name === 'string' && isColor(name))
const unit = z.custom<UnitName>((name) => typeof name === 'string' && name in units)
const shade = z.strictObject({ mode: z.literal('fixed'), fixedColor: color })
const byThresholds = z.strictObject({ mode: z.literal('thresholds') })
const thresholds = z.strictObject({
  mode: z.literal('absolute'),
  steps: z.array(z.strictObject({ value: z.number().nullable(), color })).nonempty(),
})
const mappings = z.array(
  z.strictObject({
    type: z.literal('value'),
    options: z.record(z.string(), z.strictObject({ text: z.string(), color: color.optional() })),
  }),
)
const lineStyle = z.strictObject({ fill: z.literal('dash'), dash: z.array(z.number()) })
const stacking = z.union([
  z.strictObject({ mode: z.literal('none') }),
  z.strictObject({ mode: z.literal('normal'), group: z.literal('A') }),
])
const cell = z.union([
  z.strictObject({ type: z.literal('color-text') }),
  z.strictObject({ type: z.literal('gauge'), mode: z.literal('basic') }),
])

const properties = {
  color: shade,
  thresholds,
  unit,
  decimals: z.number(),
  min: z.literal(0),
  max: z.number(),
  mappings,
  links: z.array(z.unknown()),
  'custom.lineStyle': lineStyle,
  'custom.stacking': stacking,
  'custom.fillOpacity': z.number(),
  'custom.width': z.number(),
  'custom.cellOptions': cell,
}

export interface Override {
  readonly matcher: { readonly id: 'byName' | 'byRegexp' | 'byFrameRefID'; readonly options: string }
  readonly properties: readonly { readonly id: string; readonly value: unknown }[]
}

const overrides = (...ids: (keyof typeof properties)[]): z.ZodType<readonly Override[]> =>
  z.array(
    z.strictObject({
      matcher: z.strictObject({ id: z.enum(['byName', 'byRegexp', 'byFrameRefID']), options: z.string() }),
      properties: z.array(
        z.strictObject({ id: z.enum(ids), value: z.unknown() }).superRefine(({ id, value }, context) => {
          if (!properties[id].safeParse(value).success) context.addIssue({ code: 'custom', path: ['value'] })
        }),
      ),
    }),
  )

/** How a value looks, of one series or of all. */
export interface Look {
  readonly unit?: UnitName | undefined
  readonly decimals?: number | undefined
  readonly min?: number | undefined
  readonly max?: number | undefined
  readonly noValue?: string | undefined
  readonly mappings?: z.infer<typeof mappings> | undefined
  readonly thresholds?: z.infer<typeof thresholds> | undefined
  readonly color?: z.infer<typeof shade> | z.infer<typeof byThresholds> | undefined
  readonly links?: readonly unknown[] | undefined
  readonly custom?: {
    readonly lineStyle?: z.infer<typeof lineStyle> | undefined
    readonly stacking?: z.infer<typeof stacking> | undefined
    readonly fillOpacity?: number | undefined
    readonly width?: number | undefined
    readonly cellOptions?: z.infer<typeof cell> | undefined
    readonly align?: 'auto'
    readonly thresholdsStyle?: { readonly mode: 'dashed' } | undefined
  }
}

const value = {
  unit: unit.optional(),
  decimals: z.number().optional(),
  max: z.number().optional(),
  mappings: mappings.optional(),
  noValue: z.string().optional(),
}

const newest = z.strictObject({ calcs: z.tuple([z.literal('lastNotNull')]), values: z.literal(false) })
const noLegend = z.looseObject({ showLegend: z.literal(false) })

const panel = <Type extends string, Defaults extends z.ZodRawShape, Options extends z.ZodRawShape>(
  type: Type,
  defaults: Defaults,
  ids: (keyof typeof properties)[],
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
    transformations: type === 'table' ? transformations : z.undefined().optional(),
    fieldConfig: z.strictObject({ defaults: z.strictObject(defaults), overrides: overrides(...ids) }),
    options: z.strictObject(options),
  })

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

const names = z.record(z.string(), z.string())
const transformations = z
  .array(
    z.discriminatedUnion('id', [
      z.strictObject({ id: z.literal('merge'), options: z.strictObject({}) }),
      z.strictObject({
        id: z.literal('organize'),
        options: z.strictObject({
          excludeByName: z.record(z.string(), z.boolean()),
          indexByName: z.record(z.string(), z.number()),
          renameByName: names,
        }),
      }),
    ]),
  )
  .optional()

const row = z.strictObject({ ...place, type: z.literal('row'), collapsed: z.literal(false), panels: z.tuple([]) })

const stat = panel('stat', { ...value, thresholds, color: byThresholds }, ['color', 'thresholds'], {
  colorMode: z.enum(['background', 'value']),
  textMode: z.enum(['auto', 'name', 'value_and_name']),
  graphMode: z.literal('none'),
  justifyMode: z.literal('auto'),
  orientation: z.literal('auto'),
  showPercentChange: z.literal(false),
  percentChangeColorMode: unseen,
  wideLayout: z.literal(true),
  reduceOptions: newest,
})

const gauge = panel(
  'gauge',
  { ...value, min: z.literal(0), thresholds, color: byThresholds },
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
  { ...value, min: z.literal(0), thresholds, color: byThresholds },
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
    ...value,
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
    ...value,
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

const heatmap = panel('heatmap', { ...value, custom: z.strictObject({}) }, [], {
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
  { ...value, custom: z.strictObject({ align: z.literal('auto'), inspect: unseen }) },
  ['custom.width', 'unit', 'decimals', 'links', 'mappings', 'custom.cellOptions', 'min', 'max', 'color'],
  {
    cellHeight: z.literal('sm'),
    footer: z.looseObject({ show: z.literal(false) }),
    frameIndex: z.literal(0),
    showHeader: z.literal(true),
    showTypeIcons: z.literal(false),
    sortBy: z.tuple([z.strictObject({ displayName: z.string(), desc: z.boolean() })]),
  },
)

const anyPanel = z.discriminatedUnion('type', [row, stat, gauge, bargauge, timeseries, timeline, heatmap, table])

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

const variable = z.strictObject({
  name: z.string(),
  label: z.string().optional(),
  type: z.enum(['datasource', 'query', 'constant']),
  /** Nowhere, or with its label: 2 and 0. */
  hide: z.union([z.literal(0), z.literal(2)]).optional(),
  ...named('datasource', 'query', 'definition', 'description', 'current', 'multi', 'includeAll', 'allValue', 'regex'),
  ...named('allowCustomValue', 'auto', 'auto_count', 'auto_min', 'refresh', 'skipUrlSync', 'sort', 'options'),
})

const annotation = z.strictObject({
  name: z.string(),
  enable: z.literal(true),
  hide: z.literal(false),
  ...named('builtIn', 'datasource', 'iconColor', 'target', 'titleFormat', 'textFormat', 'tagKeys', 'useValueForTime'),
})

const link = z.strictObject({
  type: z.literal('dashboards'),
  asDropdown: z.literal(false),
  tags: z.array(z.string()),
  ...named('title', 'icon', 'tooltip', 'includeVars', 'keepTime', 'targetBlank', 'url'),
})

const page = z.strictObject({
  uid: z.string(),
  title: z.string(),
  tags: z.array(z.string()),
  panels: z.array(z.unknown()),
  templating: z.strictObject({ list: z.array(variable) }),
  annotations: z.strictObject({ list: z.array(annotation) }),
  links: z.array(link),
  ...named(
    'description',
    'editable',
    'fiscalYearStartMonth',
    'graphTooltip',
    'refresh',
    'schemaVersion',
    'time',
    'timezone',
  ),
})

export type Dashboard = Omit<z.infer<typeof page>, 'panels'> & { readonly panels: readonly AnyPanel[] }

/** The JSON of a dashboard, of which everything can be drawn. */
export function readDashboard(json: unknown): Dashboard {
  const dashboard = checked(page, json, 'dashboard')
  const panels = dashboard.panels.map((each) => {
    const { title } = each as { title?: unknown }
    return checked(anyPanel, each, `${dashboard.title}, panel "${title}"`)
  })
  return { ...dashboard, panels }
}

function checked<Schema extends z.ZodType>(schema: Schema, json: unknown, where: string): z.infer<Schema> {
  const { success, data, error } = schema.safeParse(json)
  if (success) return data
  const refused = error.issues.flatMap(({ path, ...issue }) =>
    (issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path]).map((place) => {
      const found = place.reduce<unknown>(
        (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
        json,
      )
      return `${place.join('.')} is ${JSON.stringify(found)}`
    }),
  )
  throw new Error(`${where}: cannot draw this: ${refused.join('; ')}`)
}
