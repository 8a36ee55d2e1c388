import { defaultRunOptions, type RunOptions } from '../../src/core/job/options.ts'
import { BatchSizer, DutyCycle, targetBatchSeconds } from '../../src/core/throttle/batch-sizer.ts'
import { dutyCycleOf, initialPace, type Pace, stepPace } from '../../src/core/throttle/controller.ts'
import { evaluateHold, type Hold } from '../../src/core/throttle/hold.ts'
import { LagTracker } from '../../src/core/throttle/lag-tracker.ts'
import type { Measured, SignalName } from '../../src/core/throttle/signal.ts'

/** Something that changes with time. Seconds. */
export type Over<T> = (t: number) => T

export interface ReplicaSpec {
  /** What is measured of it: a standby by its lag, the consumer of a slot by what is kept for it. */
  readonly by?: 'lag' | 'slot'
  /** Bytes of WAL that it can replay in a second; 0 while replay is paused. */
  readonly replay: Over<number>
  /** How long ago what is known of its place was so. Seconds. */
  readonly delaySeconds?: number
}

export interface WorldSpec {
  readonly seed: number
  readonly seconds: number
  /** Workers that there are tickets for. */
  readonly workers?: Over<number>
  readonly processes?: number
  readonly options?: Partial<RunOptions>
  readonly replicas?: readonly ReplicaSpec[]
  /** A beat a second, read on the replicas, is what their lag is told by. */
  readonly heartbeat?: boolean
  /** WAL of everybody else, bytes per second. */
  readonly foreground?: Over<number>
  /** Sessions of others within the last second; nobody where it is not said, null where unknown. */
  readonly others?: Over<number | null>
  /** Any other signal, by how much of our work went on since the last look, in batches in flight. */
  readonly answers?: Partial<Record<SignalName, (busy: number, t: number, random: () => number) => number | null>>
  readonly pace?: Pace
}

/** What was so at the end of each second. */
export interface Second {
  readonly t: number
  readonly load: number
  readonly cause: string | null
  readonly hold: Hold['signal'] | null
  /** The worst lag of a replica as the sampler measures it, highest within this second. */
  readonly lag: number
  /** Highest of each other signal within this second. */
  readonly values: Readonly<Partial<Record<SignalName, number>>>
  /** Batches in flight on average in this second. */
  readonly busy: number
  /** WAL of ours that was written in this second. */
  readonly written: number
  /** WAL that each replica replayed in this second. */
  readonly replayed: readonly number[]
  readonly workers: number
}

/** A row's cost: CPU and WAL. A batch has a cost of its own besides. */
export const rowSeconds = 0.00001
export const batchOwnSeconds = 0.0005
export const rowBytes = 300

const tickSeconds = 0.01
const lookSeconds = 0.5
const beatSeconds = 1
const roundSeconds = 0.25
const stepAge = 0.95
const sliceSeconds = 5
/** How late a timer goes off, at most. */
const timerLateSeconds = 0.0012

/** WAL per second of one worker that does nothing but batches of the largest size. */
export const fullRate = (10_000 * rowBytes) / (batchOwnSeconds + 10_000 * rowSeconds)

/** The same numbers for the same seed. */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What processes share: a row of the database each. */
interface Shared {
  pace: Pace
  steppedAt: number
  hold: { readonly hold: Hold; readonly by: number } | null
}

interface Batch {
  readonly rows: number
  readonly seconds: number
}

interface Replica {
  readonly spec: ReplicaSpec
  position: number
  /** Where it was at the last ticks, oldest first, for what is known of it to be late. */
  readonly past: number[]
}

/** A primary with its replicas, and what can be measured of it. */
class Database {
  readonly replicas: readonly Replica[]
  wal = 0
  /** Where in the WAL each beat of the heart is. */
  readonly beats: number[] = []
  readonly #spec: WorldSpec

  constructor(spec: WorldSpec) {
    this.#spec = spec
    this.replicas = (spec.replicas ?? []).map((replica) => ({ spec: replica, position: 0, past: [] }))
  }

  tick(t: number): void {
    this.wal += (this.#spec.foreground?.(t) ?? 0) * tickSeconds
    for (const replica of this.replicas) {
      replica.position = Math.min(this.wal, replica.position + replica.spec.replay(t) * tickSeconds)
      replica.past.push(replica.position)
      if (replica.past.length > 1 + (replica.spec.delaySeconds ?? 0) / tickSeconds) replica.past.shift()
    }
  }
}

/** One process: it looks, keeps its own idea of what is shared, and steps when it is the first to. */
class Process {
  shared: Shared
  workers = 0
  readonly #index: number
  #nextLook: number
  #nextBeat: number
  #nextRound: number
  readonly #beats = new LagTracker()
  readonly #trackers: readonly LagTracker[]
  readonly #looks = new Map<string, Measured[]>()
  readonly #spec: WorldSpec
  readonly #random: () => number
  readonly #options: RunOptions

  constructor(index: number, spec: WorldSpec, options: RunOptions, shared: Shared, random: () => number) {
    this.#index = index
    this.#spec = spec
    this.#options = options
    this.#random = random
    this.shared = shared
    this.#trackers = (spec.replicas ?? []).map(() => new LagTracker())
    this.#nextLook = random() * lookSeconds
    this.#nextBeat = random() * beatSeconds
    this.#nextRound = lookSeconds + random() * roundSeconds
  }

  get measured(): Measured[] {
    return [...this.#looks.values()].map((looks) => looks.at(-1) as Measured)
  }

  tick(t: number, world: World): void {
    if (t >= this.#nextLook) {
      this.#look(t, world)
      this.#nextLook += lookSeconds
    }
    if (this.#spec.heartbeat && t >= this.#nextBeat) {
      this.#beat(t, world)
      this.#nextBeat += beatSeconds
    }
    if (t >= this.#nextRound) {
      this.#round(t, world)
      // A round takes a moment itself.
      this.#nextRound = t + roundSeconds + this.#random() * 0.02
    }
  }

  holdOf(): Hold | null {
    return evaluateHold({
      options: this.#options,
      heldBy: this.shared.hold?.hold.signal ?? null,
      measured: this.measured,
      globalPause: null,
      now: new Date(0),
    })
  }

  #beat(t: number, { database }: World): void {
    database.beats.push(database.wal)
    this.#beats.observe(t * 1000, BigInt(database.beats.length))
    for (const [index, { past }] of database.replicas.entries()) {
      const shown = database.beats.findLastIndex((position) => position <= (past[0] ?? 0)) + 1
      const lag = (this.#beats.lag(BigInt(shown), t * 1000)?.ms ?? 0) / 1000
      this.#note('heartbeat', `replica ${index}`, lag, t)
    }
  }

  #look(t: number, world: World): void {
    for (const [index, replica] of world.database.replicas.entries()) {
      if (replica.spec.by === 'slot') {
        const kept = world.database.wal - (replica.past[0] ?? 0)
        this.#note('slots', `slot c${index}`, kept, t)
        world.saw('slots', kept)
        continue
      }
      const tracker = this.#trackers[index] as LagTracker
      tracker.observe(t * 1000, BigInt(Math.floor(world.database.wal)))
      const position = replica.past[0] ?? 0
      const lag = (tracker.lag(BigInt(Math.floor(position)), t * 1000)?.ms ?? 0) / 1000
      this.#note('replica-lag', `standby s${index}`, lag, t)
      world.sawLag(lag)
      this.#note('replica-bytes', `standby s${index}`, world.database.wal - position, t)
      world.saw('replica-bytes', world.database.wal - position)
    }
    this.#note('foreground', 'sessions', this.#spec.others ? this.#spec.others(t) : 0, t)
    const busy = world.busySince(this)
    for (const [name, answer] of Object.entries(this.#spec.answers ?? {})) {
      const value = answer(busy, t, this.#random)
      this.#note(name as SignalName, name, value, t)
      world.saw(name as SignalName, value)
    }
  }

  #note(signal: SignalName, detail: string, value: number | null, t: number): void {
    const key = `${signal} ${detail}`
    const before = (this.#looks.get(key) ?? []).slice(-2)
    const values = [...before.map((look) => look.value), value]
    const worst = values.includes(null) ? null : Math.max(...values.map(Number))
    this.#looks.set(key, [...before, { signal, detail, value, worst, at: t * 1000 }])
  }

  #round(t: number, world: World): void {
    this.shared = { ...world.shared }
    this.workers = world.leases
    if (t - this.shared.steppedAt >= stepAge) {
      const pace = stepPace(this.shared.pace, {
        now: 1_000_000 + t,
        workers: this.workers,
        measured: this.measured,
        options: [this.#options],
      })
      // As it comes back from a column of type jsonb.
      world.shared = { ...world.shared, pace: JSON.parse(JSON.stringify(pace)), steppedAt: t }
      this.shared = { ...world.shared }
    }
    const hold = this.holdOf()
    // What one process holds no other lets go.
    if ((world.shared.hold?.by ?? this.#index) !== this.#index) return
    world.shared.hold = hold && { hold, by: this.#index }
  }
}

/** One slot for tickets. */
class Worker {
  /** Has a range. */
  leased = false
  readonly #spec: WorldSpec
  readonly #options: RunOptions
  readonly #process: Process
  readonly #random: () => number
  readonly #index: number
  #sizer: BatchSizer
  #duty = new DutyCycle()
  #sliceEndsAt = 0
  #batch: Batch | null = null
  #nextAt = 0

  constructor(index: number, spec: WorldSpec, options: RunOptions, process: Process, random: () => number) {
    this.#index = index
    this.#spec = spec
    this.#options = options
    this.#process = process
    this.#random = random
    this.#sizer = new BatchSizer(options)
    this.#nextAt = random() * 0.2
  }

  /** Does all that falls due until this time. */
  advance(until: number, world: World): void {
    while (this.#nextAt < until) {
      const now = this.#nextAt
      if (this.#batch) this.#commit(this.#batch, now, world)
      else if (!this.leased) this.#lease(now, world)
      else if (now >= this.#sliceEndsAt || this.#process.holdOf() || world.shared.hold) this.#giveBack(now)
      else this.#begin(now)
    }
  }

  #lease(now: number, world: World): void {
    this.leased = this.#index < (this.#spec.workers?.(now) ?? 2) && !world.shared.hold
    this.#sizer = new BatchSizer(this.#options, this.#sizer.next(this.#options))
    this.#duty = new DutyCycle()
    this.#sliceEndsAt = now + sliceSeconds
    if (!this.leased) this.#nextAt = now + 0.05 + this.#random() * 0.2
  }

  #giveBack(now: number): void {
    this.leased = false
    this.#nextAt = now + 0.01 + this.#random() * 0.05
  }

  #begin(now: number): void {
    const rows = this.#sizer.next(this.#options)
    const seconds = batchOwnSeconds + rows * rowSeconds
    this.#batch = { rows, seconds }
    this.#nextAt = now + seconds
  }

  #commit({ rows, seconds }: Batch, now: number, world: World): void {
    this.#batch = null
    // The fence: what is held commits nothing more.
    if (world.shared.hold) {
      this.#giveBack(now)
      return
    }
    world.committed(rows * rowBytes, seconds)
    const { pace } = this.#process.shared
    this.#sizer.observe(
      { scanned: rows, done: rows, seconds },
      this.#options,
      targetBatchSeconds(this.#options, pace.targetSeconds),
    )
    world.batches.push({ t: now, seconds })
    const share = dutyCycleOf(pace, this.#process.workers)
    this.#duty.worked(seconds)
    const wait = this.#duty.wait(share)
    if (wait === 0) return
    const rested = Math.ceil(wait * 1000) / 1000 + this.#random() * timerLateSeconds
    this.#duty.rested(rested, share)
    this.#nextAt = now + rested
  }
}

class World {
  readonly database: Database
  shared: Shared
  readonly seconds: Second[] = []
  readonly batches: { t: number; seconds: number }[] = []
  readonly #spec: WorldSpec
  readonly #workers: readonly Worker[]
  readonly #processes: readonly Process[]
  #busy = 0
  #written = 0
  #lag = 0
  #values: Partial<Record<SignalName, number>> = {}
  #busyTotal = 0
  readonly #seenBusy = new Map<Process, number>()

  constructor(spec: WorldSpec) {
    this.#spec = spec
    const random = dice(spec.seed)
    const options = { ...defaultRunOptions, parallelism: 64, ...spec.options }
    this.database = new Database(spec)
    this.shared = { pace: spec.pace ?? initialPace, steppedAt: 0, hold: null }
    this.#processes = Array.from(
      { length: spec.processes ?? 1 },
      (_, index) => new Process(index, spec, options, this.shared, random),
    )
    const most = Math.max(...Array.from({ length: spec.seconds }, (_, t) => spec.workers?.(t) ?? 2))
    this.#workers = Array.from(
      { length: most },
      (_, index) =>
        new Worker(index, spec, options, this.#processes[index % this.#processes.length] as Process, random),
    )
  }

  get leases(): number {
    return this.#workers.filter((worker) => worker.leased).length
  }

  committed(bytes: number, seconds: number): void {
    this.database.wal += bytes
    this.#written += bytes
    this.#busy += seconds
    this.#busyTotal += seconds
  }

  sawLag(lag: number): void {
    this.#lag = Math.max(this.#lag, lag)
  }

  saw(name: SignalName, value: number | null): void {
    if (value !== null) this.#values[name] = Math.max(this.#values[name] ?? 0, value)
  }

  /** Batches in flight on average since this process asked last. */
  busySince(process: Process): number {
    const busy = (this.#busyTotal - (this.#seenBusy.get(process) ?? 0)) / lookSeconds
    this.#seenBusy.set(process, this.#busyTotal)
    return busy
  }

  run(): void {
    let replayed = this.database.replicas.map(() => 0)
    for (let tick = 1; tick <= this.#spec.seconds / tickSeconds; tick += 1) {
      const t = tick * tickSeconds
      for (const worker of this.#workers) worker.advance(t, this)
      this.database.tick(t)
      for (const process of this.#processes) process.tick(t, this)
      if (tick % Math.round(1 / tickSeconds) !== 0) continue
      const positions = this.database.replicas.map(({ position }) => position)
      this.seconds.push({
        t,
        load: this.shared.pace.concurrency,
        cause: this.shared.pace.cause?.signal ?? null,
        hold: this.shared.hold?.hold.signal ?? null,
        lag: this.#lag,
        values: this.#values,
        busy: this.#busy,
        written: this.#written,
        replayed: positions.map((position, index) => position - (replayed[index] ?? 0)),
        workers: this.leases,
      })
      replayed = positions
      this.#busy = 0
      this.#written = 0
      this.#lag = 0
      this.#values = {}
    }
  }
}

/** What happens in so many seconds. */
export function simulate(spec: WorldSpec): {
  readonly seconds: readonly Second[]
  /** The batches that were committed. */
  readonly batches: ReadonlyArray<{ t: number; seconds: number }>
} {
  const world = new World(spec)
  world.run()
  return { seconds: world.seconds, batches: world.batches }
}
