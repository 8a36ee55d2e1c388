import { TableSortByFieldStateBuilder } from '@grafana/grafana-foundation-sdk/common'
import type { DynamicConfigValue } from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as TablePanel } from '@grafana/grafana-foundation-sdk/table'
import { type Color, type Description, describe, refId } from './panel.ts'

export interface Column {
  /** The label, or `Value`; with several queries `Value #A` and so on. */
  readonly field: string
  readonly name: string
  readonly width?: number
  readonly unit?: string
  readonly decimals?: number
  /** Where a click leads. */
  readonly link?: { readonly title: string; readonly url: string; readonly elsewhere?: boolean }
  /** Words that stand out, with their colours. */
  readonly words?: Readonly<Record<string, Color>>
  /** Drawn as a bar, from 0 to 1. */
  readonly share?: boolean
}

export interface TableDescription extends Omit<Description, 'unit'> {
  readonly columns: readonly Column[]
  readonly sortBy: string
}

function look(column: Column): DynamicConfigValue[] {
  const look: DynamicConfigValue[] = []
  if (column.width !== undefined) look.push({ id: 'custom.width', value: column.width })
  if (column.unit !== undefined) look.push({ id: 'unit', value: column.unit })
  if (column.decimals !== undefined) look.push({ id: 'decimals', value: column.decimals })
  if (column.link !== undefined) {
    const { title, url, elsewhere = false } = column.link
    look.push({ id: 'links', value: [{ title, url, targetBlank: elsewhere }] })
  }
  if (column.words !== undefined) {
    const options = Object.fromEntries(
      Object.entries(column.words).map(([word, color]) => [word, { text: word, color }]),
    )
    look.push(
      { id: 'mappings', value: [{ type: 'value', options }] },
      { id: 'custom.cellOptions', value: { type: 'color-text' } },
    )
  }
  if (column.share) {
    look.push(
      { id: 'min', value: 0 },
      { id: 'max', value: 1 },
      { id: 'color', value: { mode: 'fixed', fixedColor: 'blue' } },
      { id: 'custom.cellOptions', value: { type: 'gauge', mode: 'basic' } },
    )
  }
  return look
}

/** Rows of several queries become one where all their labels are the same. */
export function table(description: TableDescription): TablePanel {
  const { columns, queries } = description
  const shown = new Set(columns.map(({ field }) => field))
  const values = queries.length > 1 ? queries.map((_, index) => `Value #${refId(index)}`) : ['Value']
  const panel = describe(new TablePanel(), { ...description, unit: 'none' }, 'table').sortBy([
    new TableSortByFieldStateBuilder().displayName(description.sortBy).desc(false),
  ])
  if (queries.length > 1) panel.withTransformation({ id: 'merge', options: {} })
  panel.withTransformation({
    id: 'organize',
    options: {
      excludeByName: Object.fromEntries(
        ['Time', ...values].filter((field) => !shown.has(field)).map((field) => [field, true]),
      ),
      indexByName: Object.fromEntries(columns.map(({ field }, index) => [field, index])),
      renameByName: Object.fromEntries(columns.map(({ field, name }) => [field, name])),
    },
  })
  for (const column of columns) {
    const properties = look(column)
    if (properties.length > 0) panel.overrideByName(column.name, properties)
  }
  return panel
}
