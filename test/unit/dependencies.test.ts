import { isBuiltin } from 'node:module'
import { build, type Metafile } from 'esbuild'
import { expect, test } from 'vitest'
import { copiedIntoImage, dockerfileOnly, repository, textOf } from '../support/deploy.ts'

type Versions = Readonly<Record<string, string>>

const { dependencies, devDependencies } = JSON.parse(textOf('package.json')) as {
  dependencies: Versions
  devDependencies: Versions
}

/** `pg` of `pg/lib/x.js`, `@fastify/swagger` of `@fastify/swagger`. */
const packageOf = (specifier: string) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier

/** Which files are loaded, and which packages from outside, when a file is: all that is imported, but for what waits for an import(). */
async function loadedWith(file: string): Promise<{ files: Set<string>; packages: Set<string> }> {
  const { inputs } = await read(file)
  const files = new Set([file])
  const packages = new Set<string>()
  for (const each of files) {
    for (const { path, kind, external } of inputs[each]?.imports ?? []) {
      if (kind === 'dynamic-import') continue
      if (!external) files.add(path)
      else if (!isBuiltin(path)) packages.add(packageOf(path))
    }
  }
  return { files, packages }
}

async function read(file: string): Promise<Metafile> {
  const { metafile } = await build({
    absWorkingDir: repository,
    entryPoints: [file],
    bundle: true,
    write: false,
    outdir: 'none',
    metafile: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'silent',
  })
  return metafile
}

const isPeerOf = (name: string) => (user: string) => {
  const { peerDependencies = {} } = JSON.parse(textOf(`node_modules/${user}/package.json`)) as {
    peerDependencies?: Versions
  }
  return name in peerDependencies
}

test('the service starts with what is in the image: its own files, and packages that are dependencies', async () => {
  const { files, packages } = await loadedWith('src/main.ts')
  expect(files.size).toBeGreaterThan(100)
  const copied = copiedIntoImage().flatMap(({ sources }) => sources)
  const isThere = (file: string) => copied.some((path) => file === path || file.startsWith(`${path}/`))
  expect([...files].filter((file) => !isThere(file))).toEqual([])
  // What starts a Postgres from npm is loaded where no database is given, and the demo never.
  expect([...files].filter((file) => /^src\/(embedded|cli)\//.test(file))).toEqual([])
  expect([...packages].filter((name) => !(name in dependencies))).toEqual([])
})

test('each dependency is used: by the service, by what it uses, or by its command', async () => {
  const { packages } = await loadedWith('src/main.ts')
  const command = JSON.parse(dockerfileOnly('CMD')) as string[]
  const unused = Object.keys(dependencies).filter(
    (name) => !packages.has(name) && !command.includes(name) && ![...packages].some(isPeerOf(name)),
  )
  expect(unused).toEqual([])
})

test('docs/adr/dependencies.md has a line for each, and for no other', () => {
  const named = [...textOf('docs/adr/dependencies.md').matchAll(/^\| `([^`]+)`/gm)].map(([, name]) => name)
  expect(named.sort()).toEqual([...Object.keys(dependencies), ...Object.keys(devDependencies)].sort())
})
