import type { ApiDeps } from '../deps.ts'
import type { App } from '../server.ts'

/** Counts answers by route pattern. All unknown paths share one series. */
export function requests(app: App, { exposition }: ApiDeps): void {
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) if (one !== 'HEAD') exposition.requests.know(one, url)
  })
  app.addHook('onResponse', async ({ method, routeOptions }, reply) => {
    exposition.requests.answered(method, routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime / 1000)
  })
}
