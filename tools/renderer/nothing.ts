import type { Box } from '../svg/panel.ts'
import { element } from '../svg/svg.ts'
import { theme } from './colors.ts'
import type { QueryPanel } from './panels.ts'
import { write } from './words.ts'

/** What Grafana writes where the queries gave nothing. */
export const noValueOf = ({ fieldConfig }: QueryPanel) => fieldConfig.defaults.noValue ?? 'No data'

export function drawNothing(panel: QueryPanel, { left, right, top, bottom }: Box): string[] {
  return [
    write(noValueOf(panel), (left + right) / 2, (top + bottom) / 2, { color: theme.quiet, anchor: 'middle', size: 13 }),
  ]
}

/** Shows that there is more than the panel has room for. */
export function drawScrollbar({ right, top, bottom }: Box, shown: number): string {
  const height = (bottom - top) * shown
  return element('rect', { x: right - 5, y: top, width: 5, height, rx: 2.5, fill: theme.control })
}
