import { constant, integer, nat, oneof, record } from 'fast-check'
import { type Fault, fault, last } from '../fault.ts'
import type { Member } from '../member.ts'
import { type World, workerCount } from '../world.ts'

const worker = nat(workerCount - 1)
/** Now and then longer than a lease. */
const pause = oneof({ weight: 5, arbitrary: integer({ min: 50, max: 1500 }) }, { weight: 1, arbitrary: constant(6500) })
const absence = integer({ min: 0, max: 800 })
const hour = 3600_000

const workerOf = ({ workers }: World, index: number) => workers[index] as Member

async function stop(member: Member, ms: number, calm: AbortSignal): Promise<void> {
  member.signal('SIGSTOP')
  await last(ms, calm)
  member.signal('SIGCONT')
}

async function putClockOff(member: Member, { by, ms }: { by: number; ms: number }, calm: AbortSignal): Promise<void> {
  member.putClockOff(by)
  await last(ms, calm)
  member.putClockOff(0)
}

const jump = record({
  worker,
  by: oneof(
    integer({ min: -10_000, max: 10_000 }),
    integer({ min: -hour, max: hour }),
    integer({ min: -9000 * hour, max: 9000 * hour }),
  ),
  ms: integer({ min: 100, max: 2000 }),
})

/** What befalls the service's own processes. */
export const processFaults: Readonly<Record<string, Fault>> = {
  'worker killed': fault(
    3,
    record({ worker, ms: absence }),
    (drawn) => `worker ${drawn.worker}`,
    async (world, drawn, calm) => {
      await workerOf(world, drawn.worker).kill()
      await last(drawn.ms, calm)
      await workerOf(world, drawn.worker).start()
    },
  ),
  'worker drained': fault(
    1,
    record({ worker }),
    (drawn) => `worker ${drawn.worker}`,
    async (world, drawn) => {
      await workerOf(world, drawn.worker).drain()
      await workerOf(world, drawn.worker).start()
    },
  ),
  'worker stopped': fault(
    4,
    record({ worker, ms: pause }),
    (drawn) => `worker ${drawn.worker}`,
    (world, drawn, calm) => stop(workerOf(world, drawn.worker), drawn.ms, calm),
  ),
  'worker clock': fault(
    2,
    jump,
    (drawn) => `clock of worker ${drawn.worker}`,
    (world, drawn, calm) => putClockOff(workerOf(world, drawn.worker), drawn, calm),
  ),
  'API killed': fault(
    1,
    record({ ms: absence }),
    () => 'api',
    async ({ api }, { ms }, calm) => {
      await api.kill()
      await last(ms, calm)
      await api.start()
    },
  ),
  'API stopped': fault(
    1,
    record({ ms: pause }),
    () => 'api',
    ({ api }, { ms }, calm) => stop(api, ms, calm),
  ),
  'API clock': fault(
    1,
    jump,
    () => 'clock of api',
    ({ api }, drawn, calm) => putClockOff(api, drawn, calm),
  ),
}
