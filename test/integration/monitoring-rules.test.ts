import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { findAmtool, findPromtool } from '../../src/embedded/index.ts'
import { blocks, page } from '../support/pages.ts'

const folder = fileURLToPath(new URL('../../grafana/alerts', import.meta.url))
const files = (await readdir(folder)).filter((name) => name.endsWith('.test.yaml')).sort()
const [promtool, amtool] = await Promise.all([findPromtool(), findAmtool()])

/** What a tool says in the end; null where it is content. */
async function complaint(program: string | null, args: readonly string[]): Promise<string | null> {
  try {
    await promisify(execFile)(program as string, args, { cwd: folder, timeout: 50_000 })
    return null
  } catch (error) {
    const { stdout, stderr, message } = error as { stdout?: string; stderr?: string; message: string }
    return `${stdout}${stderr}` || message
  }
}

describe.runIf(promtool)('promtool', () => {
  test('finds nothing wrong with the rules', async () => {
    expect(
      await complaint(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', 'evenkeel.rules.yaml']),
    ).toBeNull()
  })

  test.for(files)('%s', async (file) => {
    expect(await complaint(promtool, ['test', 'rules', file])).toBeNull()
  })

  test('takes the configuration in the docs', async () => {
    expect(
      await complaint(promtool, ['check', 'config', '--syntax-only', await written('# prometheus.yml')]),
    ).toBeNull()
  })
})

test.runIf(amtool)('amtool takes the configuration in the docs', async () => {
  expect(await complaint(amtool, ['check-config', await written('# alertmanager.yml')])).toBeNull()
})

/** A file with that block of docs/alerts.md that begins so. */
async function written(beginning: string): Promise<string> {
  const block = blocks(await page('docs/alerts.md'), 'yaml').find((each) => each.startsWith(beginning))
  const home = await mkdtemp(join(tmpdir(), 'evenkeel-alerts-'))
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  await writeFile(join(home, 'configuration.yml'), block as string)
  return join(home, 'configuration.yml')
}
