import Fastify, { type FastifyInstance, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { ApiDeps } from './deps.ts'
import { authentication } from './plugins/authentication.ts'
import { bodies } from './plugins/bodies.ts'
import { Connections } from './plugins/connections.ts'
import { Limits } from './plugins/limits.ts'
import { openapi } from './plugins/openapi.ts'
import { bodyLimitBytes, clientErrors, frameworkErrors, problems } from './plugins/problems.ts'
import { requests } from './plugins/requests.ts'
import { actionRoutes } from './routes/actions.ts'
import { globalPauseRoutes } from './routes/global-pause.ts'
import { healthRoutes } from './routes/health.ts'
import { historyRoutes } from './routes/history.ts'
import { jobRoutes } from './routes/jobs.ts'
import { overrideRoutes } from './routes/overrides.ts'
import { quarantineRoutes } from './routes/quarantine.ts'
import { runRoutes } from './routes/runs.ts'
import type { App } from './server.ts'

const headerLimitBytes = 16 * 1024
/** A request sent one byte at a time would otherwise hold its connection for ever. Milliseconds. */
const requestTimeoutMs = 10_000
/** How long a connection may be silent. Longer than any answer takes. Milliseconds. */
const maxSilentMs = 300_000

/** The HTTP server of a process. A worker serves only health and metrics. */
export async function buildApp(deps: ApiDeps, options: { role: 'control' | 'worker' }): Promise<FastifyInstance> {
  const app = createFastify(deps)
  requests(app, deps)
  problems(app)
  bodies(app)
  authentication(app, deps.tokens, new Limits(deps.callsPerSecond), new Connections(app.server))
  if (options.role === 'control') await openapi(app)
  healthRoutes(app, deps)
  if (options.role === 'control') {
    jobRoutes(app, deps)
    runRoutes(app, deps)
    actionRoutes(app, deps)
    globalPauseRoutes(app, deps)
    overrideRoutes(app, deps)
    historyRoutes(app, deps)
    quarantineRoutes(app, deps)
  }
  return app as unknown as FastifyInstance
}

function createFastify(deps: ApiDeps): App {
  const app = Fastify({
    loggerInstance: deps.log,
    bodyLimit: bodyLimitBytes,
    frameworkErrors,
    clientErrorHandler: clientErrors,
    requestTimeout: requestTimeoutMs,
    connectionTimeout: maxSilentMs,
    // Node applies the greater of the two limits to the body. Without this line that is its own minute for the headers.
    http: { headersTimeout: requestTimeoutMs, maxHeaderSize: headerLimitBytes, connectionsCheckingInterval: 1000 },
    // Dashboards poll every second, so reads are not logged. Each action writes its own line.
    logController: new LogController({ disableRequestLogging: true }),
  })
  // A server may ignore an `Expect` header (RFC 9110, 10.1.1). A stop command must never be refused because of one.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  return app.withTypeProvider<ZodTypeProvider>()
}
