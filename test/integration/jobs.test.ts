import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Problem } from '../../src/core/errors.ts'
import { readParams } from '../../src/core/job/job.ts'
import { compileSql } from '../../src/core/sql/template.ts'
import { resolveJob } from '../../src/engine/kinds/resolve.ts'
import { openRegistry } from '../../src/registry/registry.ts'
import { jobSource, jobsFolder, queueKind } from '../support/service.ts'

// Nothing here goes through the queue: once is enough.
const inFolder = describe.skipIf(queueKind === 'redis')

const good = (name: string) => jobSource({ name, table: 'users', rest: "set: { label: sql`'x'` }" })

/** Reads a folder of good.ts and one other file; good.ts must load whatever is in the other. */
async function readBeside(file: string, source: string) {
  const folder = await jobsFolder({ 'good.ts': good('good'), [file]: source })
  const { jobs, broken } = await openRegistry(folder).read()
  expect(jobs.map(({ job }) => job.name)).toContain('good')
  return { folder, jobs: jobs.map(({ job }) => job.name), broken }
}

/** Writes a file as an editor does: a moment after what was there before. */
async function save(path: string, source: string, secondsLater: number): Promise<void> {
  await writeFile(path, source)
  const at = new Date(Date.now() + secondsLater * 1000)
  await utimes(path, at, at)
}

inFolder('a file that does not load is listed with its line and its error, and does not stop the others', () => {
  test('a syntax error', async () => {
    const { broken } = await readBeside('bad.ts', "import { sql } from 'evenkeel'\n\nexport default {{\n")
    expect(broken).toEqual([{ file: 'bad.ts', line: 3, error: expect.stringMatching(/unexpected token/i) }])
  })

  test('an error while it is imported', async () => {
    const { broken } = await readBeside(
      'bad.ts',
      "const limit = 1\n\nthrow new Error('no limit')\nexport default limit\n",
    )
    expect(broken).toEqual([{ file: 'bad.ts', line: 3, error: 'no limit' }])
  })

  test('something thrown that is no error', async () => {
    const { broken } = await readBeside('bad.ts', "throw 'just words'\nexport default 1\n")
    expect(broken).toEqual([{ file: 'bad.ts', line: null, error: 'just words' }])
  })

  test('a name that is not defined, below comments and types that leave no code behind', async () => {
    const source = `import { sql } from 'evenkeel'

/**
 * Three lines of words.
 */
interface Words {
  readonly text: string
}

const words: Words = { text: 'x' }
export default defineJob({ name: 'a', table: words.text, set: { a: sql\`1\` } })
`
    const { broken } = await readBeside('bad.ts', source)
    expect(broken).toEqual([{ file: 'bad.ts', line: expect.toBeOneOf([10, 11]), error: 'defineJob is not defined' }])
  })

  test('no default export', async () => {
    const { broken } = await readBeside('bad.ts', "export const job = { name: 'bad' }\n")
    expect(broken).toEqual([
      { file: 'bad.ts', line: null, error: expect.stringContaining('no default export made by defineJob') },
    ])
  })

  test.for([
    ['an empty file', ''],
    ['text', "export default 'job'"],
    ['a function', 'export default () => 1'],
  ])('%s for a default export', async ([, source]) => {
    const { broken } = await readBeside('bad.ts', source as string)
    expect(broken.map(({ error }) => error)).toEqual([expect.stringContaining('no default export made by defineJob')])
  })

  test('a plain object that never went through defineJob, and so was never checked', async () => {
    const { broken } = await readBeside('bad.ts', "export default { name: 'Bad Name', table: 5 }\n")
    expect(broken).toEqual([
      { file: 'bad.ts', line: null, error: expect.stringContaining('no default export made by defineJob') },
    ])
  })

  test('an import that does not exist', async () => {
    const { broken } = await readBeside('bad.ts', "import { x } from './nowhere.ts'\nexport default x\n")
    expect(broken).toEqual([{ file: 'bad.ts', line: null, error: expect.stringContaining('nowhere') }])
  })

  test('a package that is not installed', async () => {
    const { broken } = await readBeside('bad.ts', "import x from 'no-such-package-anywhere'\nexport default x\n")
    expect(broken.map(({ error }) => error)).toEqual([expect.stringContaining('no-such-package-anywhere')])
  })

  test('a job that is not well formed', async () => {
    const source =
      "import { defineJob, sql } from 'evenkeel'\n\nexport default defineJob({ name: 'Bad', table: 'x', set: { a: sql`1` } })\n"
    const { broken } = await readBeside('bad.ts', source)
    expect(broken).toEqual([{ file: 'bad.ts', line: 3, error: expect.stringContaining('not well formed') }])
  })

  test('a name that another file has: the first keeps it', async () => {
    const { jobs, broken } = await readBeside('second.ts', good('good'))
    expect(jobs).toEqual(['good'])
    expect(broken).toEqual([
      { file: 'second.ts', line: null, error: expect.stringContaining('good is defined in good.ts already') },
    ])
  })

  test('several at once', async () => {
    const folder = await jobsFolder({
      'a.ts': 'export default {{',
      'b.ts': good('b'),
      'c.ts': 'throw 1',
      'd.ts': good('d'),
    })
    const { jobs, broken } = await openRegistry(folder).read()
    expect(jobs.map(({ file }) => file)).toEqual(['b.ts', 'd.ts'])
    expect(broken.map(({ file }) => file)).toEqual(['a.ts', 'c.ts'])
  })
})

inFolder('a job is found by its name', () => {
  test('and a name that nobody has is answered with the nearest there is, and with the files that are broken', async () => {
    const { folder } = await readBeside('bad.ts', "throw new Error('oh no')\n")
    const registry = openRegistry(folder)
    expect((await registry.find('good')).name).toBe('good')
    const problem = await registry.find('goood').catch((error: unknown) => error as Problem)
    expect(problem).toBeInstanceOf(Problem)
    expect(problem).toMatchObject({ kind: 'not-found', message: expect.stringContaining('Did you mean good?') })
    expect((problem as Problem).message).toContain('bad.ts:1: oh no')
  })

  test('and a folder that is not there is a problem that names JOBS_DIR', async () => {
    const problem = await openRegistry('/nowhere/jobs')
      .read()
      .catch((error: unknown) => error)
    expect(problem).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('Set JOBS_DIR') })
  })
})

inFolder('the folder is read again when something in it has changed', () => {
  test('a file that is mended, and one that breaks', async () => {
    const folder = await jobsFolder({ 'a.ts': 'throw new Error("not yet")', 'b.ts': good('b') })
    const registry = openRegistry(folder)
    expect((await registry.read()).jobs.map(({ job }) => job.name)).toEqual(['b'])
    await save(join(folder, 'a.ts'), good('a'), 1)
    await save(join(folder, 'b.ts'), 'export default {{', 1)
    const { jobs, broken } = await registry.read()
    expect(jobs.map(({ job }) => job.name)).toEqual(['a'])
    expect(broken.map(({ file }) => file)).toEqual(['b.ts'])
  })

  test('a file that comes, one that goes, and one that is another job now', async () => {
    const folder = await jobsFolder({ 'a.ts': good('a'), 'b.ts': good('b') })
    const registry = openRegistry(folder)
    await registry.read()
    await rm(join(folder, 'a.ts'))
    await save(join(folder, 'b.ts'), good('renamed'), 1)
    await save(join(folder, 'c.mjs'), good('c'), 1)
    expect((await registry.read()).jobs.map(({ job }) => job.name)).toEqual(['renamed', 'c'])
  })

  test('nothing is loaded again while nothing has changed', async () => {
    const registry = openRegistry(await jobsFolder({ 'a.ts': good('a') }))
    expect(await registry.read()).toBe(await registry.read())
  })

  const withHelper = `import { defineJob } from 'evenkeel'
import { value } from './_helper.ts'
export default defineJob({ name: 'a', table: 'users', set: { label: value } })
`
  const helper = (text: string) => `import { sql } from 'evenkeel'\nexport const value = sql\`'${text}'\`\n`
  const labelOf = async (registry: ReturnType<typeof openRegistry>) => {
    const [[, value] = []] = resolveJob(await registry.find('a'), {}).set
    return value && compileSql(value, 1).text
  }

  test('a file that jobs import is no job itself, and is loaded with them', async () => {
    const registry = openRegistry(await jobsFolder({ 'a.ts': withHelper, '_helper.ts': helper('x') }))
    expect((await registry.read()).broken).toEqual([])
    expect(await labelOf(registry)).toBe("'x'")
  })

  test('a change in a file that jobs import changes the jobs', async () => {
    const folder = await jobsFolder({ 'a.ts': withHelper, '_helper.ts': helper('x') })
    const registry = openRegistry(folder)
    expect(await labelOf(registry)).toBe("'x'")
    await save(join(folder, '_helper.ts'), helper('y'), 1)
    expect(await labelOf(registry)).toBe("'y'")
  })

  test('the folder is a ConfigMap of Kubernetes: links into a folder that is exchanged', async () => {
    const folder = await jobsFolder({})
    const exchange = async (name: string, files: Readonly<Record<string, string>>) => {
      await mkdir(join(folder, `..${name}`))
      for (const [file, source] of Object.entries(files)) await writeFile(join(folder, `..${name}`, file), source)
      await symlink(`..${name}`, join(folder, '..data_tmp'))
      await rename(join(folder, '..data_tmp'), join(folder, '..data'))
    }
    await exchange('first', { 'a.ts': withHelper, '_helper.ts': helper('x') })
    for (const file of ['a.ts', '_helper.ts']) await symlink(`..data/${file}`, join(folder, file))
    // What an editor leaves beside a file that it has open.
    await symlink('somebody@somewhere.1', join(folder, '.#a.ts'))
    const registry = openRegistry(folder)
    expect((await registry.read()).jobs.map(({ file }) => file)).toEqual(['a.ts'])
    expect(await labelOf(registry)).toBe("'x'")
    await exchange('second', { 'a.ts': withHelper, '_helper.ts': helper('y') })
    expect(await labelOf(registry)).toBe("'y'")
  })

  test('what is no job file is passed by: tests, declarations, hidden files, notes', async () => {
    const folder = await jobsFolder({
      'a.ts': good('a'),
      'a.test.ts': 'throw 1',
      'a.spec.ts': 'throw 1',
      'a.d.ts': 'throw 1',
      '.hidden.ts': 'throw 1',
      'README.md': '# jobs',
      'data.json': '{',
    })
    const { jobs, broken } = await openRegistry(folder).read()
    expect(jobs.map(({ file }) => file)).toEqual(['a.ts'])
    expect(broken).toEqual([])
  })
})

inFolder('the example jobs', () => {
  test('load, all of them', async () => {
    const { jobs, broken } = await openRegistry(fileURLToPath(new URL('../../jobs', import.meta.url))).read()
    expect(broken).toEqual([])
    expect(jobs.map(({ job }) => job.name)).toEqual([
      'cities-country',
      'cities-point',
      'cities-search-name',
      'packages-split',
    ])
    for (const { job } of jobs) expect(resolveJob(job, await readParams(job, {})).fingerprint).toMatch(/^[0-9a-f]{64}$/)
  })
})

inFolder('a folder that changes', () => {
  test('a file exchanged for one of the same size and time is read again', async () => {
    const folder = await jobsFolder({ 'job.ts': good('one') })
    const registry = openRegistry(folder)
    const names = async () => (await registry.read()).jobs.map(({ job }) => job.name)
    expect(await names()).toEqual(['one'])
    const at = new Date('2026-01-01')
    await utimes(join(folder, 'job.ts'), at, at)
    expect(await names()).toEqual(['one'])
    await writeFile(join(folder, '_other'), good('two'))
    await utimes(join(folder, '_other'), at, at)
    await rename(join(folder, '_other'), join(folder, 'job.ts'))
    expect(await names()).toEqual(['two'])
  })

  test('a file that breaks is told of once, and again when it breaks in another way', async () => {
    const folder = await jobsFolder({ 'job.ts': good('one') })
    const told: string[] = []
    const registry = openRegistry(folder, ({ file, error }) => told.push(`${file}: ${error}`))
    await registry.read()
    expect(told).toEqual([])
    await save(join(folder, 'job.ts'), "throw new Error('half written')", 5)
    await registry.read()
    await registry.read()
    expect(told).toEqual(['job.ts: half written'])
    await save(join(folder, 'job.ts'), "throw new Error('worse')", 10)
    await registry.read()
    expect(told).toEqual(['job.ts: half written', 'job.ts: worse'])
  })
})
