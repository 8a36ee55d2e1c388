import { DutyCycle } from '../core/throttle/batch-sizer.ts'
import { consumeTickets, type TicketQueueOptions } from '../queue/queue.ts'
import type { WorkerDeps } from './deps.ts'
import type { Slot } from './limiter.ts'
import { startRescuer } from './rescuer.ts'
import { workSlice } from './slice.ts'

export interface Worker {
  /** Slots in use. */
  readonly busy: number
  /** Ends each slice after the batch it is in, gives the ranges back, and returns when nothing is left in flight. */
  close(): Promise<void>
}

/** Starts working on tickets, up to `slots` at once, and rescuing. */
export function startWorker(deps: WorkerDeps, queue: TicketQueueOptions, slots: number): Worker {
  const stop = new AbortController()
  const slices = new Set<Promise<void>>()
  // What a slot owes the database stays with it from one lease to the next; the one that was left last is taken first.
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
