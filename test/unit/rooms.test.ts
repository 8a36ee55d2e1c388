import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = new URL('../../', import.meta.url)

/** Which of these files the linter, under the project's own rules, keeps from importing what they import. */
function refused(imports: ReadonlyArray<readonly [file: string, imported: string]>): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'evenkeel-rooms-'))
  try {
    const rules = JSON.parse(readFileSync(new URL('biome.json', root), 'utf8')) as Record<string, unknown>
    // The copy is no checkout.
    writeFileSync(join(folder, 'biome.json'), JSON.stringify({ ...rules, vcs: { enabled: false } }))
    for (const [index, [file, imported]] of imports.entries()) {
      const path = join(folder, file.replace('x.ts', `x${index}.ts`))
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, `import '${imported}'\n`)
    }
    const biome = fileURLToPath(new URL('node_modules/.bin/biome', root))
    const { stdout, stderr } = spawnSync(biome, ['lint', '--max-diagnostics=none', '.'], {
      cwd: folder,
      encoding: 'utf8',
    })
    return imports
      .filter(([file], index) =>
        `${stdout}${stderr}`.includes(`${file.replace('x.ts', `x${index}.ts`)}:1:8 lint/style/noRestrictedImports`),
      )
      .map(([file, imported]) => `${file} ${imported}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const forbidden = [
  ['src/core/x.ts', '../store/control.ts'],
  ['src/core/x.ts', '../util/sleep.ts'],
  ['src/core/run/x.ts', '../../store/control.ts'],
  ['src/core/x.ts', 'node:fs'],
  ['src/util/x.ts', '../core/errors.ts'],
  ['src/postgres/x.ts', '../store/control.ts'],
  ['src/store/x.ts', '../engine/batch/batch.ts'],
  ['src/store/schema/x.ts', '../../engine/batch/batch.ts'],
  ['src/engine/x.ts', '../store/runs.ts'],
  ['src/engine/kinds/update/x.ts', '../../../store/runs.ts'],
  ['src/signals/x.ts', '../store/runs.ts'],
  ['src/queue/x.ts', '../store/ranges.ts'],
  ['src/telemetry/x.ts', '../config.ts'],
  ['src/registry/x.ts', '../worker/worker.ts'],
  ['src/runs/x.ts', '../api/app.ts'],
  ['src/runs/x.ts', '../worker/worker.ts'],
  ['src/worker/x.ts', '../api/app.ts'],
  ['src/worker/x.ts', '../service/service.ts'],
  ['src/api/x.ts', '../worker/worker.ts'],
  ['src/api/routes/x.ts', '../../worker/worker.ts'],
  ['src/api/plugins/x.ts', '../../config.ts'],
  ['src/service/x.ts', '../cli/demo.ts'],
  ['src/embedded/x.ts', '../core/errors.ts'],
  ['src/service/x.ts', '../client/client.ts'],
  ['src/runs/x.ts', '../client/openapi.ts'],
  ['src/client/x.ts', '../core/errors.ts'],
  ['src/client/x.ts', '../api/schemas.ts'],
  ['src/cli/demo/x.ts', '../../runs/run-schema.ts'],
  ['src/cli/demo/x.ts', '../../api/app.ts'],
  ['bench/speed/x.ts', '../../src/runs/run-schema.ts'],
  ['bench/x.ts', '../src/api/app.ts'],
  ['grafana/code/x.ts', '../../src/runs/run-schema.ts'],
  ['grafana/code/x.ts', '../../src/api/schemas.ts'],
  ['jobs/x.ts', '../src/core/job/job.ts'],
  ['tools/x.ts', '../bench/load.ts'],
  ['tools/renderer/x.ts', '../../grafana/code/panel.ts'],
  ['tools/processes/x.ts', '../../test/support/until.ts'],
  ['grafana/code/x.ts', '../../bench/peers/evenkeel.ts'],
  ['grafana/code/x.ts', '../../test/support/until.ts'],
  ['bench/x.ts', '../test/support/until.ts'],
  ['bench/plot/x.ts', '../../test/support/until.ts'],
  ['bench/plot/x.ts', '../../grafana/code/panel.ts'],
] as const

const allowed = [
  ['src/core/run/x.ts', '../range/range.ts'],
  ['src/core/x.ts', 'node:crypto'],
  ['src/store/x.ts', '../core/run/status.ts'],
  ['src/store/x.ts', '../postgres/pool.ts'],
  ['src/registry/x.ts', '../index.ts'],
  ['src/runs/x.ts', '../store/runs.ts'],
  ['src/worker/x.ts', '../store/runs.ts'],
  ['src/api/routes/x.ts', '../../runs/start.ts'],
  ['src/service/x.ts', '../worker/worker.ts'],
  ['src/client/x.ts', './openapi.ts'],
  ['src/client/x.ts', 'openapi-fetch'],
  ['src/cli/demo/x.ts', '../../client/client.ts'],
  ['bench/speed/x.ts', '../../src/client/client.ts'],
  ['grafana/code/x.ts', '../../src/client/client.ts'],
  ['jobs/x.ts', 'evenkeel'],
  ['tools/renderer/x.ts', '../svg/svg.ts'],
  ['tools/processes/x.ts', '../../src/embedded/index.ts'],
  ['grafana/code/x.ts', '../../tools/until.ts'],
  ['grafana/code/x.ts', '@grafana/grafana-foundation-sdk/dashboard'],
  ['bench/plot/x.ts', '../../tools/svg/svg.ts'],
  ['bench/x.ts', '../src/embedded/index.ts'],
  ['test/unit/x.ts', '../../grafana/code/rules.ts'],
] as const

test('the linter keeps each room from knowing those it must not know, and from no others', () => {
  expect(refused([...forbidden, ...allowed])).toEqual(forbidden.map(([file, imported]) => `${file} ${imported}`))
})
