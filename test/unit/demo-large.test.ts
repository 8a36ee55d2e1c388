import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { array, assert, asyncProperty, integer, string } from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { copyText } from '../../src/cli/demo/copy.ts'
import { stringsOf } from '../../src/cli/demo/names.ts'
import { fetchPackage } from '../../src/cli/demo/package.ts'
import { openEntry } from '../../src/cli/demo/tarball.ts'
import { packed } from '../support/tarball.ts'
import { perCommit } from '../support/tier.ts'

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'evenkeel-large-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

async function* inChunks(text: string, bytes: number): AsyncGenerator<Buffer> {
  const whole = Buffer.from(text)
  for (let at = 0; at < whole.length; at += bytes) yield whole.subarray(at, at + bytes)
}

async function all<T>(items: AsyncIterable<T[]>): Promise<T[]> {
  const found: T[] = []
  for await (const some of items) found.push(...some)
  return found
}

describe('the strings of a JSON array', () => {
  test('are found wherever a chunk ends', async () => {
    const anyStrings = array(string({ unit: 'binary' }), { maxLength: 20 })
    await assert(
      asyncProperty(
        anyStrings,
        integer({ min: 1, max: 40 }),
        integer({ min: 0, max: 2 }),
        async (strings, bytes, indent) => {
          expect(await all(stringsOf(inChunks(JSON.stringify(strings, null, indent), bytes)))).toEqual(strings)
        },
      ),
      { numRuns: perCommit(25, { nightly: 100 }) },
    )
  })

  test.each(['', '[', '["a", "b"', '["a", "b', '["a", 1]', '{"a": "b"}', '[["a"]]', 'null'])(
    'are asked for in vain in %s',
    async (text) => {
      for (const bytes of [1, 1000])
        await expect(all(stringsOf(inChunks(text, bytes)))).rejects.toThrow('not a JSON array')
    },
  )
})

test('a value of COPY keeps to its line and its column', () => {
  expect(copyText('a\\b\tc\nd\re"é')).toBe('a\\\\b\\tc\\nd\\re"é')
})

describe('a file of a .tgz', () => {
  const files = { 'package/a.json': 'a'.repeat(100_000), 'package/empty': '', 'package/b.json': '["b"]' }

  test('is found among others, with its length', async () => {
    const path = join(await folder(), 'x.tgz')
    await writeFile(path, packed(files).tgz)
    for (const [name, contents] of Object.entries(files)) {
      const entry = await openEntry(path, name)
      expect(entry.bytes).toBe(contents.length)
      const parts: Buffer[] = []
      for await (const part of entry.contents) parts.push(part)
      expect(Buffer.concat(parts).toString()).toBe(contents)
    }
  })

  test('that is not there is said to be missing, and an archive that is none or is cut off to be so', async () => {
    const path = join(await folder(), 'x.tgz')
    const { tgz } = packed(files)
    await writeFile(path, tgz)
    await expect(openEntry(path, 'package/c.json')).rejects.toThrow(`${path} has no file package/c.json in it`)
    await writeFile(path, tgz.subarray(0, 100))
    await expect(openEntry(path, 'package/b.json')).rejects.toThrow(/unexpected end|ends in the middle/)
    await writeFile(path, 'no archive')
    await expect(openEntry(path, 'package/b.json')).rejects.toThrow('incorrect header check')
    await expect(openEntry(`${path}.missing`, 'package/b.json')).rejects.toThrow('ENOENT')
  })
})

describe('a package', () => {
  const { tgz, integrity } = packed({ 'package/names.json': '["a"]' })
  const wanted = { name: 'all-the-package-names', version: '1.2.3', integrity }
  const file = 'all-the-package-names-1.2.3.tgz'

  /** A registry that has this archive, or answers with nothing but a status. */
  async function registry(answer: Buffer | number): Promise<{ url: string; asked: string[] }> {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(request.url ?? '')
      if (typeof answer === 'number') response.writeHead(answer).end()
      else response.writeHead(200, { 'content-length': answer.length }).end(answer)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.close()
    })
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/npm/`, asked }
  }

  const options = (registry: string, folder: string) => {
    const heard: number[] = []
    const signal = new AbortController().signal
    return { registry, folder, signal, heard, onProgress: (bytes: number, total: number) => heard.push(bytes / total) }
  }

  test('is fetched once, told about, and kept', async () => {
    const { url, asked } = await registry(tgz)
    const given = options(url, join(await folder(), 'cache'))
    const first = await fetchPackage(wanted, given)
    expect(first).toEqual({ file: join(given.folder, file), fetched: true })
    expect(await readFile(first.file)).toEqual(tgz)
    expect(given.heard.at(-1)).toBe(1)
    expect(await fetchPackage(wanted, given)).toEqual({ ...first, fetched: false })
    expect(asked).toEqual([`/npm/all-the-package-names/-/${file}`])
  })

  test('that is there and is not the right one is fetched again', async () => {
    const { url } = await registry(tgz)
    const given = options(url, await folder())
    await writeFile(join(given.folder, file), tgz.subarray(1))
    expect((await fetchPackage(wanted, given)).fetched).toBe(true)
    expect(await readFile(join(given.folder, file))).toEqual(tgz)
  })

  test('of another hash than it should have is refused, and not kept', async () => {
    const { url } = await registry(packed({ 'package/names.json': '["evil"]' }).tgz)
    const given = options(url, await folder())
    await expect(fetchPackage(wanted, given)).rejects.toThrow(
      /^What came from .* is not all-the-package-names 1\.2\.3: it has sha512-.* and should have sha512-.*\. Nothing of it is kept/,
    )
    expect(await readdir(given.folder)).toEqual([])
  })

  test('that cannot be fetched says why and what to do, and leaves nothing', async () => {
    const { url } = await registry(404)
    const given = options(url, await folder())
    const todo = `npm pack all-the-package-names@1.2.3 --pack-destination ${given.folder}`
    await expect(fetchPackage(wanted, given)).rejects.toThrow(`cannot be fetched: it was answered with 404 Not Found.`)
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    const nowhere = fetchPackage(wanted, { ...given, registry: `http://127.0.0.1:${port}` })
    await expect(nowhere).rejects.toThrow(/cannot be fetched: fetch failed \(.*ECONNREFUSED.*\)\. It is needed once\./)
    await expect(nowhere).rejects.toThrow(todo)
    expect(await readdir(given.folder)).toEqual([])
  })
})
