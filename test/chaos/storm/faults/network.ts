import { constant, constantFrom, integer, nat, oneof, record } from 'fast-check'
import type { Direction, TcpProxy } from '../../../support/proxy.ts'
import { type Fault, fault, last } from '../fault.ts'
import type { World } from '../world.ts'

const silence = oneof(
  { weight: 5, arbitrary: integer({ min: 50, max: 2000 }) },
  { weight: 1, arbitrary: constant(6500) },
)
const directions = constantFrom<readonly Direction[]>(['to server', 'to client'], ['to server'], ['to client'])
const how = constantFrom<'reset' | 'end'>('reset', 'end')

async function mute(
  proxy: TcpProxy,
  drawn: { directions: readonly Direction[]; ms: number },
  calm: AbortSignal,
): Promise<void> {
  proxy.blackhole(drawn.directions)
  await last(drawn.ms, calm)
  proxy.heal()
}

async function refuse(proxy: TcpProxy, ms: number, calm: AbortSignal): Promise<void> {
  proxy.refuse()
  proxy.cut()
  await last(ms, calm)
  proxy.heal()
}

/**
 * Where a batch, which is one statement, can be cut: a client's Sync is what makes Postgres commit, and the server's
 * CommandComplete and ReadyForQuery are the answer to it.
 */
const aroundCommit = constantFrom(
  { from: 'client', type: 'S', verdict: 'cut before' } as const,
  { from: 'client', type: 'S', verdict: 'cut after' } as const,
  { from: 'server', type: 'C', verdict: 'cut before' } as const,
  { from: 'server', type: 'Z', verdict: 'cut before' } as const,
  { from: 'server', type: 'Z', verdict: 'cut after' } as const,
)

/** What befalls connections to Postgres. */
export const networkFaults: Readonly<Record<string, Fault>> = {
  'cut around commit': fault(
    6,
    record({ at: aroundCommit, application: constantFrom('evenkeel engine', 'evenkeel engine', 'evenkeel control') }),
    () => 'snare',
    async ({ parts: { snare } }, { at, application }, calm) => {
      // A control transaction says COMMIT in a message of its own; the rest of the messages are the same.
      const sprung = snare.set({ ...at, application })
      await Promise.race([sprung, last(2000, calm)])
      snare.forget()
    },
  ),
  'connection cut': fault(
    2,
    record({ nth: nat(19), how }),
    () => null,
    async ({ parts: { databaseProxy } }, drawn) => {
      const all = [...databaseProxy.connections]
      all[drawn.nth % all.length]?.cut(drawn.how)
    },
  ),
  'all connections cut': fault(
    1,
    record({ how }),
    () => null,
    async ({ parts: { databaseProxy } }, drawn) => {
      databaseProxy.cut(drawn.how)
    },
  ),
  'database silent': fault(
    2,
    record({ directions, ms: silence }),
    () => 'network',
    ({ parts: { databaseProxy } }, drawn, calm) => mute(databaseProxy, drawn, calm),
  ),
  'database refuses': fault(
    1,
    record({ ms: integer({ min: 50, max: 1500 }) }),
    () => 'network',
    ({ parts: { databaseProxy } }, { ms }, calm) => refuse(databaseProxy, ms, calm),
  ),
}

const redisProxyOf = ({ parts: { redisProxy } }: World) => redisProxy as TcpProxy

/** What befalls connections to Redis. */
export const redisNetworkFaults: Readonly<Record<string, Fault>> = {
  'Redis connections cut': fault(
    2,
    record({ how }),
    () => null,
    async (world, drawn) => {
      redisProxyOf(world).cut(drawn.how)
    },
  ),
  'Redis silent': fault(
    2,
    record({ directions, ms: silence }),
    () => 'redis network',
    (world, drawn, calm) => mute(redisProxyOf(world), drawn, calm),
  ),
  'Redis refuses': fault(
    1,
    record({ ms: integer({ min: 50, max: 1500 }) }),
    () => 'redis network',
    (world, { ms }, calm) => refuse(redisProxyOf(world), ms, calm),
  ),
}
