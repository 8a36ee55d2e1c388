import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import { LagTracker } from '../core/throttle/lag-tracker.ts'
import type { Reading } from '../core/throttle/signal.ts'
import { singleFlight } from '../util/single-flight.ts'
import { unknown } from './messages.ts'

/** A replica that is read by its own URL. */
export interface HeartbeatReplica {
  /** host:port or so; never a secret. */
  readonly name: string
  /** The beat that it shows. */
  read(): Promise<bigint>
}

export const heartbeatIntervalMs = 1000

/** How long a replica may take to answer before the others are no longer waited with. */
const patienceMs = 500
/** How long one may go unread. */
const freshMs = 3000

/** Counts the heartbeat up, and says how old the beat is that the furthest behind of the replicas shows. */
export function heartbeatReader(replicas: readonly HeartbeatReplica[], beat: () => Promise<bigint>) {
  const beats = new LagTracker()
  const states = replicas.map((replica) => new ReplicaState(replica))
  let begun = false
  const countUp = async () => {
    const asked = performance.now()
    const position = await beat()
    beats.observe((asked + performance.now()) / 2, position)
  }
  return async (): Promise<Reading[]> => {
    // One that has not yet shown the very first beat might be behind by a moment or by a day: there is none to compare to.
    if (!begun) {
      await countUp()
      await pause(heartbeatIntervalMs)
      begun = true
    }
    await countUp()
    await Promise.race([Promise.all(states.map((state) => state.read())), pause(patienceMs)])
    const ages = states.map((state) => ({ name: state.name, ...state.age(beats) }))
    const unread = ages.find(({ seconds }) => seconds === null)
    if (unread) return [unknown('heartbeat', `replica ${unread.name} ${unread.cause}`)]
    const worst = ages.reduce((worst, one) => ((one.seconds ?? 0) > (worst.seconds ?? 0) ? one : worst))
    return [{ signal: 'heartbeat', value: worst.seconds, detail: `replica ${worst.name}` }]
  }
}

/** What one replica showed when it last answered. */
class ReplicaState {
  readonly #replica: HeartbeatReplica
  #shown: { readonly at: number; readonly beat: bigint } | null = null
  #error: string | null = null

  constructor(replica: HeartbeatReplica) {
    this.#replica = replica
  }

  get name(): string {
    return this.#replica.name
  }

  /** Asks once more, unless an answer is still due. Never throws. */
  readonly read = singleFlight(() => this.#read())

  age(beats: LagTracker): { seconds: number; cause: null } | { seconds: null; cause: string } {
    if (this.#error !== null) return { seconds: null, cause: `cannot be read: ${this.#error}` }
    if (this.#shown === null || performance.now() - this.#shown.at > freshMs) {
      return { seconds: null, cause: 'does not answer: check that it runs and can be reached' }
    }
    const lag = beats.lag(this.#shown.beat, this.#shown.at)
    if (lag?.exact !== true) {
      return { seconds: null, cause: 'shows a heartbeat from before this process began: wait until it has caught up' }
    }
    return { seconds: lag.ms / 1000, cause: null }
  }

  async #read(): Promise<void> {
    const asked = performance.now()
    try {
      const beat = await this.#replica.read()
      this.#shown = { at: (asked + performance.now()) / 2, beat }
      this.#error = null
    } catch (error) {
      this.#error = messageOf(error)
    }
  }
}
