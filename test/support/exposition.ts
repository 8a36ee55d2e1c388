import type { Client } from './service.ts'

/** One line of an exposition. */
export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Metric {
  readonly type: string
  readonly samples: readonly Sample[]
}

/** What a process tells Prometheus, by metric. */
export async function scrape(client: Client): Promise<Map<string, Metric>> {
  return parse((await client.call<string>('GET', '/metrics')).body)
}

function parse(text: string): Map<string, Metric> {
  const metrics = new Map<string, { type: string; samples: Sample[] }>()
  let current: { type: string; samples: Sample[] } | undefined
  for (const line of text.split('\n')) {
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (name && type) {
      current = { type, samples: [] }
      metrics.set(name, current)
    }
    const sample = /^([^\s#{]+)(?:\{(.*)\})? (\S+)$/.exec(line)
    if (sample)
      current?.samples.push({ name: String(sample[1]), labels: labelsOf(sample[2]), value: Number(sample[3]) })
  }
  return metrics
}

function labelsOf(text = ''): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]))
}
