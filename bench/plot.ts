import { mkdir, writeFile } from 'node:fs/promises'
import { readRecording } from './episode/results.ts'
import { drawEpisode } from './plot/episode.ts'

const folder = new URL('../docs/pictures/', import.meta.url)

/** Draws what was measured. The same figures give the same bytes. */
async function main(): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(new URL('lag-episode.svg', folder), drawEpisode(await readRecording()))
  console.log('docs/pictures/lag-episode.svg')
}

await main()
