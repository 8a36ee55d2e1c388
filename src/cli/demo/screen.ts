import { renderBar } from './bar.ts'
import type { RunView } from './client.ts'
import { count, seconds } from './messages.ts'

const widestBar = 60
const partEveryMs = 50

/**
 * The output of the demo. On a terminal the last lines are a bar and a status, redrawn in place below everything else.
 * In a file or CI there are plain lines, one at each tenth.
 */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  readonly #colours: boolean
  #shown: string[] = []
  #tenth = -1
  #status = ''
  #partAt = 0

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#live = out.isTTY === true && process.env.TERM !== 'dumb'
    this.#colours = this.#live && !process.env.NO_COLOR
  }

  /** Prints a line that stays. */
  line(text = ''): void {
    this.#erase()
    this.#out.write(`${text}\n`)
    this.#draw()
  }

  /** Prints the title of a step, with its reason in one line. */
  step(number: number, title: string, why: string): void {
    this.line()
    this.line(`${this.#paint('1;36', `${number}  ${title}.`)} ${why}`)
  }

  /** Prints a fact. */
  fact(text: string): void {
    this.line(`   ${this.#paint('32', '·')} ${text}`)
  }

  /** Prints a call or statement that the reader could type. */
  typed(text: string): void {
    this.line(`   ${this.dim(text)}`)
  }

  dim(text: string): string {
    return this.#paint('2', text)
  }

  verdict(good: boolean, text: string): void {
    this.line(this.#paint(good ? '1;32' : '1;31', text))
  }

  /** Shows the progress of the run. */
  progress(run: RunView): void {
    const colour = run.status === 'running' ? '36' : '33'
    this.#stand(run.status, run.progress.ratio, colour, [state(run), hindrances(run)])
  }

  /** Shows the progress of another task. May be called thousands of times. */
  part(what: string, ratio: number, words: string): void {
    const now = performance.now()
    if (ratio < 1 && now - this.#partAt < partEveryMs) return
    this.#partAt = now
    this.#stand(what, ratio, '36', [[what, words]])
  }

  #stand(status: string, ratio: number, colour: string, lines: readonly string[][]): void {
    if (this.#live) {
      this.#erase()
      this.#shown = this.#lines(ratio, colour, lines)
      this.#draw()
      return
    }
    const tenth = Math.floor(ratio * 10)
    if (tenth === this.#tenth && status === this.#status) return
    this.#tenth = tenth
    this.#status = status
    this.line(`   ${percent(ratio).padStart(4)}  ${lines.flat().join(', ')}`)
  }

  /** Removes the bar. */
  clear(): void {
    this.#erase()
    this.#shown = []
  }

  #lines(ratio: number, colour: string, lines: readonly string[][]): string[] {
    // One column less than the width: a line that fills the last column wraps, and cannot be erased any more.
    const room = Math.max(1, (this.#out.columns || 80) - 1)
    const width = Math.max(0, Math.min(widestBar, room - 9))
    const bar = renderBar(ratio, width)
    const rest = bar.search('─')
    const [full, empty] = rest < 0 ? [bar, ''] : [bar.slice(0, rest), bar.slice(rest)]
    return [
      `   ${this.#paint(colour, full)}${this.dim(empty)} ${percent(ratio).padStart(4)}`,
      // Present even if empty: lines that come and go make the rest jump.
      ...lines.map((line, index) => {
        const shown = `   ${line.join(' · ')}`.slice(0, room)
        return index === 0 ? shown : this.dim(shown)
      }),
    ]
  }

  #erase(): void {
    if (this.#shown.length > 0) this.#out.write(`\r\x1b[${this.#shown.length - 1}A\x1b[J`)
  }

  #draw(): void {
    if (this.#shown.length > 0) this.#out.write(this.#shown.join('\n'))
  }

  #paint(style: string, text: string): string {
    return this.#colours && text !== '' ? `\x1b[${style}m${text}\x1b[0m` : text
  }
}

function percent(ratio: number): string {
  return `${Math.floor(ratio * 100)}%`
}

/** Leaves out what is zero. */
function state({ status, progress }: RunView): string[] {
  const { rowsScanned, rowsTotal, rowsTotalIsEstimate, rowsPerSecond, etaSeconds, check } = progress
  return [
    status,
    `${count(rowsScanned)} of ${rowsTotalIsEstimate ? 'about ' : ''}${count(rowsTotal)} rows`,
    ...(rowsPerSecond > 0 ? [`${count(rowsPerSecond)} rows/s`] : []),
    ...(etaSeconds === null ? [] : [`${seconds(etaSeconds)} left`]),
    ...(check ? [`${count(check.rowsChecked)} of about ${count(check.rowsTotal)} rows checked`] : []),
    ...(check && check.rowsPerSecond > 0 ? [`${count(check.rowsPerSecond)} rows/s`] : []),
    ...(check && check.etaSeconds !== null ? [`${seconds(check.etaSeconds)} left`] : []),
  ]
}

function hindrances({ progress, throttle }: RunView): string[] {
  return [
    ...(progress.stragglers > 0 ? [`${count(progress.stragglers)} stragglers`] : []),
    ...(throttle ? [`held back: ${throttle.reason}`] : []),
  ]
}
