import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { singleFlight } from '../util/single-flight.ts'
import type { Metrics } from './metrics.ts'

/** Answer of `GET /metrics`: the metrics of the process once, and those of each database that it works on. */
export interface Exposition {
  readonly contentType: string
  readonly requests: RequestMetrics
  text(): Promise<string>
}

/** Answers of the API. */
export interface RequestMetrics {
  /** Puts the counters of a route at 0. */
  know(method: string, route: string): void
  answered(method: string, route: string, statusCode: number, seconds: number): void
}

/** `jobs` names the jobs to count at each scrape. It must not throw. */
export function createExposition(
  databases: readonly Metrics[],
  version: string,
  jobs: () => Promise<readonly string[]>,
): Exposition {
  const process = new Registry()
  collectDefaultMetrics({ register: process })
  const build = new Gauge({
    name: 'backfill_build_info',
    help: '1, with the version of this process as a label.',
    labelNames: ['version'],
    registers: [process],
  })
  build.set({ version }, 1)
  // However many scrapes arrive at once, databases and queues are read once.
  const text = singleFlight(async () => {
    const [names] = await Promise.all([jobs(), ...databases.map((metrics) => metrics.refresh())])
    for (const metrics of databases) for (const name of names) metrics.know(name)
    // Their series differ by the label `database`. Name, help and type of each metric appear once.
    const all = await Promise.all(databases.map(({ registry }) => registry.getMetricsAsJSON()))
    return `${await process.metrics()}\n${await AggregatorRegistry.aggregate(all).metrics()}`
  })
  return { contentType: process.contentType, requests: requestMetrics(process), text }
}

function requestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'backfill_http_requests_total',
    help: 'Responses of the API, by route and class of status.',
    labelNames: ['method', 'route', 'status'] as const,
    registers,
  })
  const seconds = new Histogram({
    name: 'backfill_http_request_duration_seconds',
    help: 'Seconds from a request to the end of its response.',
    labelNames: ['method', 'route'] as const,
    buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  })
  return {
    know(method, route) {
      for (const status of ['2xx', '4xx', '5xx']) requests.inc({ method, route, status }, 0)
      seconds.zero({ method, route })
    },
    answered(method, route, statusCode, took) {
      requests.inc({ method, route, status: `${Math.floor(statusCode / 100)}xx` })
      seconds.observe({ method, route }, took)
    },
  }
}
