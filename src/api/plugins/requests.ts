import type { ApiDeps } from '../deps.ts'
import type { App } from '../server.ts'

/** Counts answers by route, as the route is written: what somebody asks for that is none is one series, not thousands. */
export function requests(app: App, { exposition }: ApiDeps): void {
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') exposition.requests.know(one, url)
  })
  app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
    exposition.requests.answered(method, routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime / 1000)
  })
}
