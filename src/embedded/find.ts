import { access, constants } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The first of these programs on PATH, or in the folder of node_modules/.cache where a script put it; null if there is
 * none.
 */
export async function findProgram(names: readonly string[], fetched: string): Promise<string | null> {
  const cache = fileURLToPath(new URL(`../../node_modules/.cache/${fetched}`, import.meta.url))
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), cache]) {
    if (folder === '') continue
    for (const name of names) {
      const path = join(folder, name)
      const runs = await access(path, constants.X_OK).then(
        () => true,
        () => false,
      )
      if (runs) return path
    }
  }
  return null
}
