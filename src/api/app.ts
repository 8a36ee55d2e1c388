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
/** A request that is sent a byte at a time would hold its connection for ever. Milliseconds. */
const requestTimeoutMs = 10_000
/** A connection on which nothing moves, longer than any answer takes. Milliseconds. */
const maxSilentMs = 300_000

/** The HTTP side of a process. A worker shows only its health and metrics. */
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
    // Of the two limits Node takes the greater one for the body: without this, its own minute for the headers.
    http: { headersTimeout: requestTimeoutMs, maxHeaderSize: headerLimitBytes, connectionsCheckingInterval: 1000 },
    // Dashboards ask every second: what is asked is not worth a line, what is done is, and has its own.
    logController: new LogController({ disableRequestLogging: true }),
  })
  // What a request expects beyond an answer may be passed over (RFC 9110, 10.1.1), and a brake must be heard.
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  return app.withTypeProvider<ZodTypeProvider>()
}
