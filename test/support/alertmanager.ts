import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { findAlertmanager } from '../../src/embedded/index.ts'
import { type Labels, launch, type Server } from '../../tools/processes/prometheus.ts'

/** An alert as it reaches whoever is to be woken. */
export interface Notice {
  readonly status: 'firing' | 'resolved'
  readonly labels: Labels
  readonly annotations: Labels
}

/** Where an Alertmanager sends what is to wake somebody. */
export interface Webhook extends Server {
  /** All that came, in its order. */
  readonly notices: readonly Notice[]
}

export async function startWebhook(): Promise<Webhook> {
  const notices: Notice[] = []
  const server = createServer(async (request, response) => {
    const { alerts } = (await json(request)) as { alerts: Notice[] }
    notices.push(...alerts)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    notices,
    async stop() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** One that tells a webhook of every alert by itself and at once. */
export async function startAlertmanager(webhook: string): Promise<Server> {
  const configuration = {
    route: { receiver: 'webhook', group_by: ['...'], group_wait: '0s', group_interval: '1s', repeat_interval: '1h' },
    receivers: [{ name: 'webhook', webhook_configs: [{ url: webhook, send_resolved: true }] }],
  }
  return launch({
    binary: await findAlertmanager(),
    name: 'alertmanager',
    files: { 'alertmanager.yaml': JSON.stringify(configuration) },
    flags: (folder, port) => ({
      'config.file': join(folder, 'alertmanager.yaml'),
      'storage.path': join(folder, 'data'),
      'web.listen-address': `127.0.0.1:${port}`,
      'cluster.listen-address': '',
      'log.level': 'warn',
    }),
  })
}
