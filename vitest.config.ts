import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import {
  findAlertmanager,
  findAmtool,
  findPgBouncer,
  findPrometheus,
  findPromtool,
  findRedis,
} from './src/embedded/index.ts'

const redis = await findRedis()
const monitoring = await Promise.all([findPrometheus(), findPromtool(), findAlertmanager(), findAmtool()])
for (const [found, what, name] of [
  [redis, 'on the Redis queue', 'redis-server'],
  [await findPgBouncer(), 'behind a pooler', 'pgbouncer'],
  [!monitoring.includes(null), 'of the alerts', 'prometheus and alertmanager'],
]) {
  if (found) continue
  const message = `no ${name}: the tests ${what}`
  if (process.env.CI) throw new Error(`${message} are required in CI. Install ${name}.`)
  process.stderr.write(`${message} are left out. Install ${name} to run them too.\n`)
}

const all = ['test/integration/**/*.test.ts', 'test/chaos/**/*.test.ts']
// What a queue can lose, delay or repeat is tested on each of its backends, with the same files; the rest once.
const queued = [
  'test/integration/{api,databases,exactly-once,pace,queue,runs,security,stragglers,upkeep}.test.ts',
  'test/chaos/{crowd,drain,failover,lost-leases,pause,storm,zombie}.test.ts',
]
const unqueued = ['test/integration/embedded*.test.ts']
// What feels the database does not care which queue the tickets are on, and its standbys take a while to start.
const sensing = ['test/integration/signals*.test.ts', 'test/integration/replicas*.test.ts']
const monitored = ['test/integration/monitoring*.test.ts']
// Modules are loaded once per worker: loading them anew for each file costs more than most files do by themselves.
const shared = {
  globalSetup: ['./test/support/cluster.ts', './test/support/programs.ts'],
  testTimeout: 300_000,
  hookTimeout: 120_000,
  isolate: false,
}

export default defineConfig({
  resolve: { alias: { evenkeel: fileURLToPath(new URL('./src/index.ts', import.meta.url)) } },
  test: {
    // Each keeps about a core busy; more of them than cores only make each other late.
    maxWorkers: Math.min(3, Math.max(2, availableParallelism())),
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000, isolate: false },
      },
      {
        extends: true,
        test: {
          name: 'embedded',
          include: unqueued,
          globalSetup: './test/support/programs.ts',
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'sensing',
          include: monitoring.includes(null) ? sensing : [...sensing, ...monitored],
          env: { TEST_QUEUE: 'postgres' },
        },
      },
      {
        extends: true,
        test: {
          ...shared,
          name: 'postgres',
          include: all,
          exclude: [...unqueued, ...sensing, ...monitored],
          env: { TEST_QUEUE: 'postgres' },
        },
      },
      ...(redis
        ? [
            {
              extends: true as const,
              test: {
                ...shared,
                name: 'redis',
                include: queued,
                env: { TEST_QUEUE: 'redis' },
              },
            },
          ]
        : []),
    ],
  },
})
