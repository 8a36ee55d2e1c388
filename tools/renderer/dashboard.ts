import { z } from 'zod'
import { type AnyPanel, anyPanel, unseen } from './panels.ts'

/** Options that may be there and of which nothing is to be seen. */
const named = <Name extends string>(...names: Name[]) =>
  Object.fromEntries(names.map((name) => [name, unseen])) as Record<Name, typeof unseen>

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
