import { DutyCycle } from '../core/throttle/batch-sizer.ts'
import type { TicketQueueOptions } from '../queue/connection.ts'
import { consumeTickets } from '../queue/consumer.ts'
import type { WorkerDeps } from './deps.ts'
import type { Slot } from './limiter.ts'
import { startRescuer } from './rescuer.ts'
import { workSlice } from './slice.ts'

export interface Worker {
  /** Slots in use. */
  readonly busy: number
  /** Ends each slice after its current batch and gives the ranges back. Resolves when nothing is in flight. */
  close(): Promise<void>
}

/** Starts the rescuer, and works on tickets in `slots` slots. */
export function startWorker(deps: WorkerDeps, queue: TicketQueueOptions, slots: number): Worker {
  const stop = new AbortController()
  const slices = new Set<Promise<void>>()
  // A slot keeps its debt to the database from one lease to the next. The slot that became free last is used first.
  const free: Slot[] = []
  const consumer = consumeTickets(queue, slots, async (ticket) => {
    const slot = free.pop() ?? { duty: new DutyCycle(), idleSince: performance.now() }
    const slice = workSlice(deps, ticket, slot, stop.signal)
    slices.add(slice)
    await slice
    slices.delete(slice)
    slot.idleSince = performance.now()
    free.push(slot)
  })
  const rescuer = startRescuer(deps, stop.signal)
  const pacing = deps.pace.keep(stop.signal, () => rescuer.look())
  return {
    get busy() {
      return slices.size
    },
    async close() {
      stop.abort()
      consumer.stop()
      await Promise.all([...slices, rescuer.ended, pacing])
      await consumer.close()
    },
  }
}
