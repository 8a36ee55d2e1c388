import { rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

/** Files that Node runs without a loader. */
export interface Programs {
  /** evenkeel as people start it. */
  readonly service: string
  /** The same with the timings of the tests. */
  readonly shortened: string
}

const repository = fileURLToPath(new URL('../../', import.meta.url))

/** A file finds what lies beside it (migrations, the supervisor) as if it had not been compiled. */
const keepPlaces: Plugin = {
  name: 'keep-places',
  setup({ onLoad }) {
    onLoad({ filter: /\/(src|test)\/.*\.ts$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8')
      return { loader: 'ts', contents: source.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)) }
    })
  },
}

let compiled: Promise<Programs> | undefined

/** Compiles the service once for this process: Node starts it in a third of the time that a loader takes. Removed at exit. */
export function compilePrograms(): Promise<Programs> {
  compiled ??= compile()
  return compiled
}

async function compile(): Promise<Programs> {
  // Below the project, so that packages are found.
  const folder = join(repository, 'node_modules/.cache/evenkeel-tests', String(process.pid))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  await build({
    entryPoints: {
      service: join(repository, 'src/main.ts'),
      shortened: join(repository, 'test/support/shortened.ts'),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
    plugins: [keepPlaces],
  })
  return { service: join(folder, 'service.mjs'), shortened: join(folder, 'shortened.mjs') }
}
