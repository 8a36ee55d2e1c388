import type { Round } from './storm.ts'

/** What people see of a storm: on a terminal a line that is redrawn in place; a line for each round; a table at the end. */
export class Report {
  readonly #out: NodeJS.WriteStream
  #queue = ''
  #rounds = 0
  #done: Round[] = []
  failed = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  line(text: string): void {
    this.#clear()
    this.#out.write(`${text}\n`)
  }

  begin(queue: string, seed: number, rounds: number): void {
    this.#queue = queue
    this.#rounds = rounds
    this.#done = []
    this.line(`Storm on the ${queue} queue: ${rounds} rounds from seed ${seed}.`)
    this.#progress()
  }

  round(round: Round): void {
    this.#done.push(round)
    const { plan, seconds, faults, wrong } = round
    const jobs = plan.runs.map(({ name }) => name).join(', ')
    const hit = faults.filter(({ missed }) => missed === null).length
    const words = `seed ${plan.seed}: ${jobs}; ${hit} faults; ${seconds.toFixed(1)} s`
    this.line(
      `${wrong.length === 0 ? 'held ' : 'BROKE'} ${String(this.#done.length).padStart(4)}/${this.#rounds}  ${words}`,
    )
    if (wrong.length > 0) this.#explain(round)
    this.#progress()
  }

  /** Which faults happened how often. */
  conclude(names: readonly string[]): void {
    const all = this.#done.flatMap(({ faults }) => faults)
    const rows = this.#done.reduce((sum, round) => sum + round.rows, 0)
    const broke = this.#done.filter(({ wrong }) => wrong.length > 0)
    this.line(`\n${'fault'.padEnd(24)}${'happened'.padStart(9)}${'could not'.padStart(11)}`)
    for (const name of names) {
      const these = all.filter((fault) => fault.name === name)
      const missed = these.filter((fault) => fault.missed !== null).length
      this.line(`${name.padEnd(24)}${String(these.length - missed).padStart(9)}${String(missed).padStart(11)}`)
    }
    this.line(
      `\n${this.#queue} queue: ${this.#done.length - broke.length} of ${this.#done.length} rounds held; ${all.length} faults, ${rows} rows.${broke.length > 0 ? ` Broke: seeds ${broke.map(({ plan }) => plan.seed).join(', ')}.` : ''}\n`,
    )
  }

  #explain({ plan, faults, wrong, logs }: Round): void {
    this.failed = true
    for (const words of wrong) this.line(`      ${words}`)
    this.line(
      `      ${plan.rows} rows, ${plan.ms} ms each, ${JSON.stringify(plan.options)}. What happened, ms after the start:`,
    )
    for (const { atMs, endedMs, name, drawn, missed } of faults)
      this.line(
        `      ${String(atMs).padStart(7)} to ${String(endedMs).padStart(6)}  ${name} ${JSON.stringify(drawn)}${missed === null ? '' : ` (could not: ${missed})`}`,
      )
    this.line(`      Logs: ${logs}. Again: npm run chaos -- --seed ${plan.seed} --rounds 1 --queue ${this.#queue}`)
  }

  #progress(): void {
    if (!this.#out.isTTY) return
    const faults = this.#done.reduce((sum, round) => sum + round.faults.length, 0)
    const rows = this.#done.reduce((sum, round) => sum + round.rows, 0)
    const broke = this.#done.filter(({ wrong }) => wrong.length > 0).length
    this.#out.write(
      `round ${Math.min(this.#done.length + 1, this.#rounds)} of ${this.#rounds}; ${faults} faults and ${rows} rows so far; ${broke === 0 ? 'all held' : `${broke} broke`}`,
    )
  }

  #clear(): void {
    if (this.#out.isTTY) this.#out.write('\r\x1b[K')
  }
}
