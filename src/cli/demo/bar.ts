/**
 * A progress bar of exactly `width` characters, in steps of half a character. Full only at 1, and not empty above 0.
 */
export function renderBar(progress: number, width: number): string {
  const cells = Math.max(0, Math.floor(width))
  if (cells === 0) return ''
  const ratio = Number.isNaN(progress) ? 0 : Math.min(1, Math.max(0, progress))
  const halves = Math.floor(ratio * cells * 2)
  const shown = ratio === 1 ? cells * 2 : Math.min(cells * 2 - 1, Math.max(halves, ratio > 0 ? 1 : 0))
  const bar = '━'.repeat(Math.floor(shown / 2)) + (shown % 2 === 1 ? '╸' : '')
  return bar + '─'.repeat(cells - bar.length)
}
