import { roomy } from '../../tools/svg/scale.ts'
import { picture } from '../../tools/svg/style.ts'
import { element, line, text } from '../../tools/svg/svg.ts'
import { bigUpdate } from '../speed/loops.ts'
import { type Entry, isDone, mediansOf } from '../speed/results.ts'
import { describeKind } from '../speed/setting.ts'

const width = 960
const [left, right] = [310, 790]
const top = 64
const barHeight = 12
/** Between the bars of one case, between two cases, and between two panels. */
const [tight, loose, between] = [2, 10, 72]
/** By size of the table, the smallest first. */
const colours = ['first', 'second', 'warn', 'stop']

/** The speed of every case as a bar, one for each size of the table; a panel for each kind of table. */
export function drawSpeed(entries: readonly Entry[]): string {
  const kinds = [...new Set(entries.map(kindOf))]
  const most = Math.max(0, ...entries.map(speedOf))
  const content: string[] = []
  let y = top
  for (const kind of kinds) {
    const panel = drawPanel(
      kind,
      entries.filter((entry) => kindOf(entry) === kind),
      most,
      y,
    )
    content.push(...panel.content)
    y = panel.bottom + between
  }
  const title = 'Rows a second, from the start to the last row, and how many times one big UPDATE that is'
  return picture(title, [width, y - between + 40], [text(title, 24, 32, { class: 'title' }), ...content])
}

function drawPanel(kind: string, entries: readonly Entry[], most: number, from: number) {
  const x = roomy(most, [left, right], 6)
  const sizes = [...new Set(entries.map(({ setting }) => setting.rows))].sort((a, b) => a - b)
  const colourOf = ({ setting }: Entry) => colours[sizes.indexOf(setting.rows) % colours.length] as string
  const content: string[] = []
  let y = from + 40
  for (const name of new Set(entries.map((entry) => entry.name))) {
    const bars = entries.filter((entry) => entry.name === name)
    const height = bars.length * (barHeight + tight) - tight
    content.push(text(name, left - 8, y + height / 2 + 4, { 'text-anchor': 'end' }))
    for (const entry of bars) {
      const size = { x: left, y, width: x.at(speedOf(entry)) - left, height: barHeight }
      content.push(element('rect', { ...size, class: colourOf(entry) }))
      content.push(text(labelOf(entry, entries), x.at(speedOf(entry)) + 6, y + barHeight - 1))
      y += barHeight + tight
    }
    y += loose - tight
  }
  const legend = sizes.map((rows, index) =>
    text(`${rows.toLocaleString('en-US')} rows`, left + index * 140, from + 22, {
      class: colours[index % colours.length] as string,
    }),
  )
  const grid = x.ticks.flatMap((tick) => [
    line([x.at(tick), from + 32], [x.at(tick), y]),
    text(tick.toLocaleString('en-US'), x.at(tick), y + 16, { 'text-anchor': 'middle' }),
  ])
  return { content: [text(kind, 24, from + 4, { class: 'name' }), ...legend, ...grid, ...content], bottom: y }
}

/** How many times one big UPDATE of the same table, and whether it came to its end. */
function labelOf(entry: Entry, entries: readonly Entry[]): string {
  const update = entries.find(({ name, setting }) => name === bigUpdate && setting.rows === entry.setting.rows)
  const ratio = update && speedOf(update) > 0 ? [`${(speedOf(entry) / speedOf(update)).toFixed(2)} x`] : []
  return [...ratio, ...(isDone(entry) ? [] : ['not done'])].join(', ')
}

function kindOf({ setting }: Entry): string {
  return describeKind(setting)
}

function speedOf(entry: Entry): number {
  return mediansOf(entry).rowsPerSecond ?? 0
}
