import { setTimeout as pause } from 'node:timers/promises'
import { messageOf } from '../core/errors.ts'
import { LagTracker } from '../core/throttle/lag-tracker.ts'
import type { Reading } from '../core/throttle/signal.ts'
import { singleFlight } from '../util/single-flight.ts'
import { unknown } from './messages.ts'

/** A replica that is read through its own URL. */
export interface HeartbeatReplica {
  /** Usually host:port; never a secret. */
  readonly name: string
  /** Reads the beat that the replica shows. */
  read(): Promise<bigint>
}

export const heartbeatIntervalMs = 1000

/** Time to wait for an answer before the other replicas count without it. */
const patienceMs = 500
/** Age from which an answer is too old. */
const freshMs = 3000

/** Increments the heartbeat, and returns the age of the beat on the replica that is furthest behind. */
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
    // A replica that does not show our first beat yet might be behind by a moment or by a day: there is no beat to
    // compare with.
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

/** The last answer of one replica. */
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

  /** Reads again unless an answer is pending. Never throws. */
  readonly read = singleFlight(() => this.#read())

  age(beats: LagTracker): { seconds: number; cause: null } | { seconds: null; cause: string } {
    if (this.#error !== null) return { seconds: null, cause: `cannot be read: ${this.#error}` }
    if (this.#shown === null || performance.now() - this.#shown.at > freshMs) {
      return { seconds: null, cause: 'does not answer: check that it runs and can be reached' }
    }
    const lag = beats.lag(this.#shown.beat, this.#shown.at)
    if (lag?.exact !== true) {
      return { seconds: null, cause: 'shows a heartbeat from before this process started: wait until it has caught up' }
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
