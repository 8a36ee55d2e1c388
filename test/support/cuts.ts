import type { Connection, Verdict, Watch } from './proxy.ts'
import { boundValues, type Message } from './wire.ts'

/** A message of a session, and what becomes of it. */
export type Cut = readonly [from: Message['from'], type: string, verdict: Verdict]

export type Moment = 'before' | 'during' | 'after'

/**
 * Around the commit of one statement, as its session sees it. Sync ends the statement and commits it: before, it does not
 * come to that; during, the server is told to and nobody hears of it; after, the answer is lost on its way, whole or in
 * part, or is the last that is heard.
 */
const aroundSync: Readonly<Record<Moment, readonly Cut[]>> = {
  before: [
    ['client', 'B', 'cut before'],
    ['client', 'E', 'cut after'],
    ['client', 'S', 'cut before'],
    ['client', 'S', 'cut within'],
  ],
  during: [['client', 'S', 'cut after']],
  after: [
    ['server', 'C', 'cut before'],
    ['server', 'C', 'cut within'],
    ['server', 'C', 'cut after'],
    ['server', 'Z', 'cut before'],
    ['server', 'Z', 'cut within'],
    ['server', 'Z', 'cut after'],
  ],
}

/** The same for COMMIT as a query of its own. */
const aroundCommit: Readonly<Record<Moment, readonly Cut[]>> = {
  before: [
    ['client', 'Q', 'cut before'],
    ['client', 'Q', 'cut within'],
  ],
  during: [['client', 'Q', 'cut after']],
  after: aroundSync.after,
}

export const moments: readonly Moment[] = ['before', 'during', 'after']

/** The ways to cut around a commit: that of a statement by itself, or COMMIT. */
export function cutsAround(commit: 'Sync' | 'COMMIT', moment: Moment): readonly Cut[] {
  return (commit === 'Sync' ? aroundSync : aroundCommit)[moment]
}

/** What becomes of a message where its session is to be cut so. */
export function verdictOf(cut: Cut | undefined, { from, type }: Message): Verdict {
  return cut && cut[0] === from && cut[1] === type ? cut[2] : 'pass'
}

export interface CutPlan {
  /** Which connections, by their application_name. */
  readonly application: string
  /** What kind of statement this is; null for one to be left alone. */
  kindOf(sql: string): string | null
  /** How often each kind is to be cut at each moment. */
  readonly times: Readonly<Record<string, number>>
  /** Of a connection's statements of such kinds, one in so many is cut: those before it tell that it works. */
  readonly oneIn: number
  /** Told of each cut as it is made: of which kind of statement, at which moment, and the values that were bound to it. */
  onCut?(kind: string, moment: Moment, values: ReadonlyArray<string | null>): void
}

/** A statement that is to be cut. */
interface Due {
  readonly cut: Cut
  readonly kind: string
  readonly moment: Moment
  readonly values: ReadonlyArray<string | null>
}

/** Cuts connections around commits, each moment in its turn, until all is cut that was asked for. */
export class Cutter {
  readonly #plan: CutPlan
  readonly #cut = new Map<string, number>()
  readonly #seen = new WeakMap<Connection, number>()
  readonly #due = new WeakMap<Connection, Due>()

  constructor(plan: CutPlan) {
    this.#plan = plan
  }

  /** Whether all cuts have been made that were asked for. */
  get isDone(): boolean {
    return Object.entries(this.#plan.times).every(([kind, times]) =>
      moments.every((moment) => this.#countOf(kind, moment) >= times),
    )
  }

  readonly watch: Watch = (message, connection) => {
    if (connection.application !== this.#plan.application) return 'pass'
    const begins = message.from === 'client' && (message.type === 'B' || message.type === 'Q')
    if (begins) {
      const next = this.#next(message, connection)
      if (next) this.#due.set(connection, next)
      else this.#due.delete(connection)
    }
    const due = this.#due.get(connection)
    const verdict = verdictOf(due?.cut, message)
    if (due && verdict !== 'pass') {
      const { kind, moment, values } = due
      this.#cut.set(`${kind} ${moment}`, this.#countOf(kind, moment) + 1)
      this.#plan.onCut?.(kind, moment, values)
    }
    return verdict
  }

  #countOf(kind: string | null, moment: Moment): number {
    return this.#cut.get(`${kind} ${moment}`) ?? 0
  }

  #next({ type, sql, bytes }: Message, connection: Connection): Due | null {
    const kind = this.#plan.kindOf(sql)
    const times = kind === null ? 0 : (this.#plan.times[kind] ?? 0)
    const left = moments.filter((moment) => this.#countOf(kind, moment) < times)
    if (kind === null || left.length === 0) return null
    const seen = (this.#seen.get(connection) ?? 0) + 1
    this.#seen.set(connection, seen)
    if (seen % this.#plan.oneIn !== 0) return null
    // The one that is least done: each in its turn.
    const moment = left.reduce((least, other) =>
      this.#countOf(kind, other) < this.#countOf(kind, least) ? other : least,
    )
    const cuts = cutsAround(type === 'Q' ? 'COMMIT' : 'Sync', moment)
    const cut = cuts[this.#countOf(kind, moment) % cuts.length] as Cut
    return { cut, kind, moment, values: type === 'B' ? boundValues(bytes) : [] }
  }
}

/** Which phase of a run a batch's statement is of; null for any other statement. */
export function phaseOf(sql: string): 'keys' | 'stragglers' | 'residual' | null {
  // What is explained when a run is accepted is no batch.
  if (!sql.startsWith('WITH') || !sql.includes('_ek_checkpoint')) return null
  if (sql.includes('_ek_due')) return 'stragglers'
  return /n\.status \S+ 'verifying'/.test(sql) ? 'residual' : 'keys'
}
