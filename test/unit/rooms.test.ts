import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Whether the linter lets a file import another one. */
function mayImport(file: string, imported: string): boolean {
  const biome = fileURLToPath(new URL('../../node_modules/.bin/biome', import.meta.url))
  const { status } = spawnSync(biome, ['lint', `--stdin-file-path=${file}`], {
    cwd: root,
    input: `import '${imported}'\n`,
  })
  return status === 0
}

test.for([
  ['src/core/x.ts', '../store/control.ts'],
  ['src/core/x.ts', 'node:fs'],
  ['src/store/x.ts', '../engine/batch.ts'],
  ['src/engine/x.ts', '../store/runs.ts'],
  ['src/queue/x.ts', '../store/ranges.ts'],
  ['src/telemetry/x.ts', '../config.ts'],
  ['src/catalogue/x.ts', '../worker/worker.ts'],
  ['src/worker/x.ts', '../api/app.ts'],
  ['src/worker/x.ts', '../service.ts'],
  ['src/api/x.ts', '../worker/worker.ts'],
  ['src/api/routes/x.ts', '../../worker/worker.ts'],
  ['src/api/plugins/x.ts', '../../config.ts'],
  ['src/embedded/x.ts', '../core/errors.ts'],
  ['jobs/x.ts', '../src/core/job.ts'],
] as const)('%s may not import %s', ([file, imported]) => {
  expect(mayImport(file, imported)).toBe(false)
})

test.for([
  ['src/store/x.ts', '../core/run.ts'],
  ['src/worker/x.ts', '../store/runs.ts'],
  ['src/api/routes/x.ts', '../../engine/batch.ts'],
  ['src/service.ts', './worker/worker.ts'],
  ['jobs/x.ts', 'evenkeel'],
] as const)('%s may import %s', ([file, imported]) => {
  expect(mayImport(file, imported)).toBe(true)
})
