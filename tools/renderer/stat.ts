import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { colors, inkOn, theme } from './colors.ts'
import { colorOf, fieldsOf, newestOf } from './fields.ts'
import { noValueOf } from './nothing.ts'
import type { StatPanel } from './panels.ts'
import type { RecordedQuery } from './recording.ts'
import type { Moment } from './time.ts'
import { valueText } from './value.ts'
import { writeLarge } from './words.ts'

interface Tile {
  readonly value: string
  readonly name: string
  readonly color: string
}

const gap = 6
const padding = 8
/** From here on a tile is so much wider than high that name and value stand beside each other. */
const wide = 2.5

export function drawStat(panel: StatPanel, answers: readonly RecordedQuery[], box: Box, moment: Moment): string[] {
  const tiles = tilesOf(panel, answers, moment)
  const [width, height] = [box.right - box.left + gap, box.bottom - box.top + gap]
  const columns = panel.options.orientation === 'horizontal' ? 1 : columnsFor(tiles.length, width, height)
  const [across, down] = [width / columns, height / Math.ceil(tiles.length / columns)]
  return tiles.flatMap((tile, index) => {
    const [left, top] = [box.left + (index % columns) * across, box.top + Math.floor(index / columns) * down]
    return drawTile(panel, tile, tiles.length > 1, { left, right: left + across - gap, top, bottom: top + down - gap })
  })
}

/** So that the shorter side of each tile is as long as can be. */
function columnsFor(tiles: number, width: number, height: number): number {
  const shorter = (columns: number) => Math.min(width / columns, height / Math.ceil(tiles / columns))
  const counts = Array.from({ length: tiles }, (_, index) => index + 1)
  return counts.reduce((best, columns) => (shorter(columns) > shorter(best) ? columns : best), 1)
}

function tilesOf(panel: StatPanel, answers: readonly RecordedQuery[], { end }: Moment): Tile[] {
  const newest = newestOf(fieldsOf(panel, answers))
  if (newest.length > 0) {
    return newest.map(({ field, value }) => ({
      value: valueText(field.look, value, end),
      name: field.name,
      color: field.color(value),
    }))
  }
  const nothing = noValueOf(panel)
  const color = colorOf(panel.fieldConfig.defaults, Number.NEGATIVE_INFINITY) ?? colors.text
  // Whatever is to be written, it is this, and once.
  return [{ value: nothing, name: nothing, color }]
}

function drawTile({ options }: StatPanel, tile: Tile, several: boolean, box: Box): string[] {
  const loud = options.colorMode === 'background'
  const color = loud ? inkOn(tile.color) : tile.color
  const [width, height] = [box.right - box.left, box.bottom - box.top]
  const ground = loud ? [element('rect', { x: box.left, y: box.top, width, height, rx: 3, fill: tile.color })] : []
  const [room, middle] = [width - 2 * padding, (box.left + box.right) / 2]
  const named = options.textMode === 'value_and_name' || (options.textMode === 'auto' && several)
  const y = (box.top + box.bottom) / 2
  if (!named || tile.name === tile.value) {
    const words = options.textMode === 'name' ? tile.name : tile.value
    return [...ground, writeLarge(words, middle, y, room, height * 0.45, { color, anchor: 'middle', bold: true })]
  }
  const quiet = loud ? color : theme.ink
  if (width / height > wide) {
    const end = { color, anchor: 'end', bold: true } as const
    return [
      ...ground,
      writeLarge(tile.name, box.left + padding, y, room * 0.5, height * 0.3, { color: quiet }),
      writeLarge(tile.value, box.right - padding, y, room * 0.4, height * 0.45, end),
    ]
  }
  return [
    ...ground,
    writeLarge(tile.name, middle, box.top + height * 0.25, room, height * 0.2, { color: quiet, anchor: 'middle' }),
    writeLarge(tile.value, middle, box.top + height * 0.64, room, height * 0.42, {
      color,
      anchor: 'middle',
      bold: true,
    }),
  ]
}
