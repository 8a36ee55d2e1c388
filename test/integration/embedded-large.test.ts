import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { Environment } from '../../src/cli/demo/environment.ts'
import { runLarge, type Source } from '../../src/cli/demo/large.ts'
import { Screen } from '../../src/cli/demo/screen.ts'
import { packed } from '../support/tarball.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const names = Array.from({ length: 4000 }, (_, n) => (n % 4 === 0 ? `@scope-${n % 40}/name-${n}` : `name-${n}`))

/** A registry with an excerpt of the package. */
async function excerpt(contents: unknown): Promise<Source> {
  const { tgz, integrity } = packed({
    'package/package.json': '{}',
    'package/names.json': JSON.stringify(contents, null, 2),
  })
  const server = createServer((_request, response) => response.writeHead(200).end(tgz))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const folder = await mkdtemp(join(tmpdir(), 'evenkeel-large-'))
  onTestFinished(async () => {
    server.close()
    await rm(folder, { recursive: true, force: true })
  })
  return {
    package: { name: 'all-the-package-names', version: '1.0.0', integrity },
    registry: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    folder,
  }
}

function createEnvironment() {
  const out = new PassThrough()
  let output = ''
  out.setEncoding('utf8').on('data', (text) => (output += text))
  const environment = new Environment(new Screen(out as unknown as NodeJS.WriteStream), new AbortController().signal)
  onTestFinished(() => environment.close())
  return { environment, output: () => output }
}

test('the large demo splits names into columns in one go and proves it', async () => {
  const { environment, output } = createEnvironment()
  const source = await excerpt([...names, '@babel/core', 'express'])
  expect(await runLarge(environment, source), output()).toEqual([])
  const said = output()
  expect(said).toContain('4,002 rows in packages, 1,001 of them with a scope')
  expect(said).toMatch(
    /public\.packages has \d+ kB; about 4,002 of its rows are changed, .* Without vacuum in between it grows/,
  )
  expect(said).toContain('Row trigger count_change (count_change()) of public.packages fires for each changed row')
  expect(said).toContain('@babel/core -> scope babel, bare name core')
  expect(said).toContain('express -> scope NULL, bare name express')
  expect(said).toMatch(/^ +rows in the table +4,002 /m)
  expect(said).toMatch(/^ +with a scope +1,001 /m)
  expect(said).toMatch(/^ +joined as before +4,002 /m)
  expect(said).toMatch(/^ +done once +4,002 /m)
  expect(said).toMatch(/^ +done twice +0 /m)
  expect(said).toMatch(/^ +as checkpointed +4,002 /m)
  expect(said).toMatch(/Summary\. 4,002 rows in .*: [\d,]+ rows\/s/)
  expect(said).not.toContain('WRONG')
})

test('names that cannot be loaded end the large demo with the reason', async () => {
  const { environment } = createEnvironment()
  await expect(runLarge(environment, await excerpt({ names }))).rejects.toThrow(
    'the names are not a JSON array of strings',
  )
  // COPY itself refuses these: the server's own words.
  const other = createEnvironment()
  await expect(runLarge(other.environment, await excerpt(['a\0b']))).rejects.toThrow(/invalid byte sequence/)
})

test('the demo says which arguments it knows', () => {
  for (const args of [['--big'], ['--large', '--fast'], ['large']]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', 'src/cli/demo.ts', ...args], {
      cwd: root,
      encoding: 'utf8',
    })
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(`The demo does not know ${args.join(' ')}.`)
    expect(stderr).toContain('npm run demo -- --large')
  }
})
