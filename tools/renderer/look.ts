import { z } from 'zod'
import { type Color, isColor } from './colors.ts'
import { type UnitName, units } from './units.ts'

/** How values look, as a panel says it of all its series and, in its overrides, of some. */

const color = z.custom<Color>((name) => typeof name === 'string' && isColor(name))
export const unit = z.custom<UnitName>((name) => typeof name === 'string' && name in units)
const shade = z.strictObject({ mode: z.literal('fixed'), fixedColor: color })
export const byThresholds = z.strictObject({ mode: z.literal('thresholds') })
export const thresholds = z.strictObject({
  mode: z.literal('absolute'),
  steps: z.array(z.strictObject({ value: z.number().nullable(), color })).nonempty(),
})
export const mappings = z.array(
  z.strictObject({
    type: z.literal('value'),
    options: z.record(z.string(), z.strictObject({ text: z.string(), color: color.optional() })),
  }),
)
const lineStyle = z.strictObject({ fill: z.literal('dash'), dash: z.array(z.number()) })
export const stacking = z.union([
  z.strictObject({ mode: z.literal('none') }),
  z.strictObject({ mode: z.literal('normal'), group: z.literal('A') }),
])
const cell = z.union([
  z.strictObject({ type: z.literal('color-text') }),
  z.strictObject({ type: z.literal('gauge'), mode: z.literal('basic') }),
])

/** What an override may change. */
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

export type Property = keyof typeof properties

export const overrides = (...ids: Property[]): z.ZodType<readonly Override[]> =>
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
