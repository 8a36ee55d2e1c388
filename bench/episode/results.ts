import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { describeMachine } from '../support/machine.ts'
import type { Recording, Sample } from './recording.ts'

const folder = new URL('../results/', import.meta.url)
const file = new URL('episode.json', folder)

/** Samples by columns: a third of the size, and each figure's course in one line. */
type Columns = { readonly [name in keyof Sample]: readonly Sample[name][] }

/** Returns the path of the file, from the project's folder. */
export async function writeRecording(recording: Recording): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  const { samples, ...others } = recording
  const head = JSON.stringify(
    { machine: describeMachine(), versions: { evenkeel: version, node: process.version }, ...others },
    rounded,
    2,
  )
  const names = Object.keys(samples[0] as Sample) as (keyof Sample)[]
  const columns = names.map((name) => {
    const values = samples.map((sample) => sample[name])
    return `    ${JSON.stringify(name)}: ${JSON.stringify(values, rounded)}`
  })
  await mkdir(folder, { recursive: true })
  await writeFile(file, `${head.slice(0, -2)},\n  "samples": {\n${columns.join(',\n')}\n  }\n}\n`)
  return 'bench/results/episode.json'
}

export async function readRecording(): Promise<Recording> {
  const { samples, ...others } = JSON.parse(await readFile(file, 'utf8')) as Omit<Recording, 'samples'> & {
    samples: Columns
  }
  const names = Object.keys(samples) as (keyof Sample)[]
  const rows = samples.at.map((_at, index) => Object.fromEntries(names.map((name) => [name, samples[name][index]])))
  return { ...others, samples: rows as unknown as Sample[] }
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value
}
