import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'
import { seed } from './seed.ts'
import { isNightly } from './tier.ts'

/** A run of fewer files is somebody's who looks at these. */
const worthTelling = 20
const slowestTests = 20
const slowestFiles = 10

const onTop = [
  'chaos, draws and tables at full strength, with the timings of the product',
  'every file in which a queue takes part on Redis as well',
  'every file in which a server takes part on Postgres 14 as well',
]

/** Tells at the end where the time went, what the random parts were drawn from, and what the nightly tier has on top. */
export default class SlowReporter implements Reporter {
  #vitest: Vitest | undefined

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (modules.length < worthTelling) return
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    this.#vitest?.logger.log(
      [
        '',
        'Seconds by project, of all its files together',
        ...rows(sums(modules)),
        `Slowest ${slowestFiles} files`,
        ...rows(most(modules.map(fileAndSeconds), slowestFiles)),
        `Slowest ${slowestTests} tests`,
        ...rows(most(tests.map(testAndSeconds), slowestTests)),
        `Random parts were drawn from TEST_SEED=${seed}.`,
        ...(isNightly ? [] : nightly(tests)),
        '',
      ].join('\n'),
    )
  }
}

type Row = readonly [name: string, seconds: number]

function secondsOf(module: TestModule): number {
  const { duration, collectDuration, setupDuration } = module.diagnostic()
  return (duration + collectDuration + setupDuration) / 1000
}

function fileAndSeconds(module: TestModule): Row {
  return [`${module.project.name}  ${module.relativeModuleId}`, secondsOf(module)]
}

function testAndSeconds(test: TestCase): Row {
  const name = `${test.project.name}  ${test.module.relativeModuleId}  ${test.fullName}`
  return [name, (test.diagnostic()?.duration ?? 0) / 1000]
}

function sums(modules: readonly TestModule[]): Row[] {
  const total = new Map<string, number>()
  for (const module of modules)
    total.set(module.project.name, (total.get(module.project.name) ?? 0) + secondsOf(module))
  return most([...total], total.size)
}

function most(all: readonly Row[], count: number): Row[] {
  return [...all].sort(([, a], [, b]) => b - a).slice(0, count)
}

function rows(all: readonly Row[]): string[] {
  return all.map(([name, seconds]) => `${seconds.toFixed(1).padStart(8)}  ${name}`)
}

function nightly(tests: readonly TestCase[]): string[] {
  const left = tests.filter(({ tags }) => tags.includes('nightly'))
  return [
    'The nightly tier (npm run test:nightly) has on top:',
    ...onTop.map((line) => `          ${line}`),
    ...left.map((test) => `          ${test.module.relativeModuleId}  ${test.fullName}`),
  ]
}
