import { readFile } from 'node:fs/promises'

/** A call as a page writes it with curl. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body: string | undefined
}

export const page = (name: string) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8')

/** The blocks of a page in one language, those in lists without their indentation. */
export function blocks(text: string, language: string): string[] {
  return [...text.matchAll(/^( *)```(\w+)\n(.*?)^\1```$/gms)].flatMap(([, indentation = '', its, block = '']) =>
    its === language ? [block.replaceAll(new RegExp(`^${indentation}`, 'gm'), '')] : [],
  )
}

/** The words of a command line, as a shell splits them. */
function words(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  )
}

function callOf(line: string): Call {
  const [, ...rest] = words(line)
  const headers: Record<string, string> = {}
  let method: string | undefined
  let body: string | undefined
  let path: string | undefined
  while (rest.length > 0) {
    const word = rest.shift() as string
    if (word === '-X') method = rest.shift()
    else if (word === '-d') body = rest.shift()
    else if (word === '-H' || word === '-sH') {
      const [name = '', value = ''] = (rest.shift() ?? '').split(': ')
      headers[name] = value
    } else if (word.startsWith('localhost:3000')) path = word.slice('localhost:3000'.length)
    else if (word !== '-s') throw new Error(`a page uses curl in a way that this test does not know: ${word}`)
  }
  if (path === undefined) throw new Error(`no address in: ${line}`)
  return { method: method ?? (body === undefined ? 'GET' : 'POST'), path, headers, body }
}

/** Every call in the shell blocks of a page, by somebody who has set these variables; what follows a # is for people. */
export async function callsIn(name: string, variables: Readonly<Record<string, string>> = {}): Promise<Call[]> {
  const known = new Map(Object.entries(variables))
  const expand = (text: string) =>
    text.replaceAll(/\$(\w+)/g, (_, variable: string) => {
      const value = known.get(variable)
      if (value === undefined) throw new Error(`${name} uses ${variable} before it is set`)
      return value
    })
  const lines = blocks(await page(name), 'sh').flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
  return lines.flatMap((line) => {
    const [, variable, value] = /^(\w+)="([^"]*)"/.exec(line) ?? []
    if (variable !== undefined && value !== undefined) known.set(variable, expand(value))
    return line.startsWith('curl ') ? [callOf(expand(line.replace(/ +# .*$/, '')))] : []
  })
}
