import { parseArgs } from 'node:util'
import { keyKinds, widths } from '../support/schema.ts'
import { type Case, cases } from './cases.ts'
import { fsyncs, type Setting } from './setting.ts'

export interface Options {
  /** How often every case has its turn in each setting; the tables show medians. */
  readonly rounds: number
  /** How long a turn may last. */
  readonly seconds: number
  readonly settings: readonly Setting[]
  readonly cases: readonly Case[]
}

const flags = {
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '60' },
  rows: { type: 'string', default: '1000000' },
  keys: { type: 'string', default: 'bigint' },
  width: { type: 'string', default: 'narrow' },
  fsync: { type: 'string', default: 'on' },
  only: { type: 'string', multiple: true, default: [] as string[] },
} as const

export function readOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({ args: [...argv], options: flags })
  const settings = list(values.rows).flatMap((rows) =>
    oneOf('keys', values.keys, keyKinds).flatMap((keys) =>
      oneOf('width', values.width, widths).flatMap((width) =>
        oneOf('fsync', values.fsync, fsyncs).map((fsync) => ({ rows: wholeNumber('rows', rows), keys, width, fsync })),
      ),
    ),
  )
  return {
    rounds: wholeNumber('rounds', values.rounds),
    seconds: wholeNumber('seconds', values.seconds),
    settings,
    cases: chosen(values.only.flatMap(list)),
  }
}

function chosen(parts: readonly string[]): readonly Case[] {
  const has = (name: string, part: string) => name.toLowerCase().includes(part.toLowerCase())
  const odd = parts.find((part) => !cases.some(({ name }) => has(name, part)))
  if (odd !== undefined)
    throw new Error(`--only ${odd} is part of no name; there are: ${cases.map(({ name }) => name).join(', ')}`)
  return parts.length === 0 ? cases : cases.filter(({ name }) => parts.some((part) => has(name, part)))
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

function oneOf<T extends string>(flag: string, text: string, known: readonly T[]): T[] {
  return list(text).map((word) => {
    const found = known.find((each) => each === word)
    if (found === undefined) throw new Error(`--${flag} must be ${known.join(' or ')}`)
    return found
  })
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${flag} must be a whole number above zero`)
  return value
}
