import { type Color, colors, paletteColor } from './colors.ts'
import type { Look, Override } from './look.ts'
import type { QueryPanel } from './panels.ts'
import type { Labels, RecordedQuery } from './recording.ts'

/** What is drawn of one series: its name, how it looks, and its values. */
export interface Field {
  readonly name: string
  readonly labels: Labels
  readonly look: Look
  /** The last has the newest. Null is what is no number. */
  readonly points: readonly FieldPoint[]
  readonly color: (value: number) => string
}

export interface FieldPoint {
  readonly time: number
  readonly value: number | null
}

export function fieldsOf(panel: QueryPanel, answers: readonly RecordedQuery[]): Field[] {
  const series = answers.flatMap(({ refId, legendFormat, result }) =>
    result.map((one) => ({
      refId,
      labels: one.metric,
      name: nameOf(legendFormat, one.metric),
      points: ('values' in one ? one.values : [one.value]).map(([time, value]) => ({ time, value: numberOf(value) })),
    })),
  )
  return series.map(({ refId, labels, name, points }, index) => {
    const look = lookOf(panel, name, refId)
    return { name, labels, look, points, color: (value) => colorOf(look, value) ?? paletteColor(index) }
  })
}

/** `+Inf` and `NaN` have no place in a picture. */
export function numberOf(value: string): number | null {
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

/** As Grafana calls a series: a label that is not there leaves nothing. */
function nameOf(legendFormat: string | null, labels: Labels): string {
  const name = (legendFormat ?? '').replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label: string) => labels[label] ?? '').trim()
  if (name !== '') return name
  const all = Object.entries(labels)
  if (all.length === 1) return all[0]?.[1] ?? ''
  return `{${all.map(([label, value]) => `${label}="${value}"`).join(', ')}}`
}

const matchers: Record<Override['matcher']['id'], (options: string, name: string, refId: string) => boolean> = {
  byName: (options, name) => options === name,
  byRegexp: (options, name) => regexp(options).test(name),
  byFrameRefID: (options, _, refId) => options === refId,
}

/** As Grafana writes them: `/^held:/`. */
function regexp(written: string): RegExp {
  const [, pattern = written, flags = ''] = written.match(/^\/(.*)\/(\w*)$/) ?? []
  return new RegExp(pattern, flags)
}

/** Of all overrides that match, the later ones win. */
export function lookOf({ fieldConfig }: QueryPanel, name: string, refId: string): Look {
  let look: Look = fieldConfig.defaults
  for (const { matcher, properties } of fieldConfig.overrides) {
    if (!matchers[matcher.id](matcher.options, name, refId)) continue
    for (const { id, value } of properties) {
      const custom = id.match(/^custom\.(.+)/)?.[1]
      look = custom ? { ...look, custom: { ...look.custom, [custom]: value } } : { ...look, [id]: value }
    }
  }
  return look
}

/** What a mapping says comes first, then a fixed colour, then the thresholds. */
export function colorOf(look: Look, value: number): string | null {
  const color = mappingOf(look, String(value))?.color ?? shadeOf(look, value)
  return color ? colors[color] : null
}

function shadeOf({ color, thresholds }: Look, value: number): Color | null {
  if (color?.mode === 'fixed') return color.fixedColor
  if (color?.mode !== 'thresholds') return null
  return thresholds?.steps.findLast((step) => step.value === null || value >= step.value)?.color ?? null
}

export const mappingOf = ({ mappings = [] }: Look, value: string) =>
  mappings.map(({ options }) => options[value]).find((mapping) => mapping !== undefined)

/** The newest value of each series that has one. */
export function newestOf(fields: readonly Field[]): { readonly field: Field; readonly value: number }[] {
  return fields.flatMap((field) => {
    const value = field.points.findLast((point) => point.value !== null)?.value ?? null
    return value === null ? [] : [{ field, value }]
  })
}
