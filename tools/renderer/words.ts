import { text } from '../svg/svg.ts'

/** Pixels, where nothing else is said. */
export const fontSize = 12

/** By the width of their letters as parts of the font's size, in the widest of the fonts that a page may have at hand. */
const widths: readonly (readonly [letters: RegExp, width: number])[] = [
  [/[ijlI.,:;'|! ]/, 0.33],
  [/[frt()[\]{}/\\"-]/, 0.4],
  [/[mwMW@%]/, 0.95],
  [/[A-Z~+=<>]/, 0.73],
]
const usual = 0.62

export function widthOf(words: string, size = fontSize): number {
  return (
    [...words].reduce((sum, letter) => sum + (widths.find(([letters]) => letters.test(letter))?.[1] ?? usual), 0) * size
  )
}

/** As much as there is room for. */
export function clipped(words: string, room: number, size = fontSize): string {
  if (widthOf(words, size) <= room) return words
  let kept = words
  while (kept !== '' && widthOf(`${kept}…`, size) > room) kept = kept.slice(0, -1)
  return `${kept.trimEnd()}…`
}

/** As large as there is room for, up to a size. */
export function writeLarge(words: string, x: number, y: number, room: number, most: number, hand: Hand = {}): string {
  const size = Math.max(smallest, Math.min(most, Math.floor((room / widthOf(words, 1)) * 10) / 10))
  return write(clipped(words, room, size), x, y, { ...hand, size })
}

/** Below this nobody reads it: then it is cut. */
const smallest = 8

/** Where the middle of a line of text is to be, from `y` on: fonts sit on their baseline. */
const baseline = (y: number, size = fontSize) => y + size * 0.36

type Anchor = 'start' | 'middle' | 'end'

export interface Hand {
  readonly color?: string
  readonly size?: number
  readonly anchor?: Anchor
  readonly bold?: boolean
}

/** Words whose middle is at the height of `y`. */
export function write(
  words: string,
  x: number,
  y: number,
  { color, size = fontSize, anchor, bold }: Hand = {},
): string {
  return text(words, x, baseline(y, size), {
    ...(color && { fill: color }),
    ...(size !== fontSize && { 'font-size': size }),
    ...(anchor && anchor !== 'start' && { 'text-anchor': anchor }),
    ...(bold && { 'font-weight': 500 }),
  })
}
