import swagger from '@fastify/swagger'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { version } from '../../version.ts'
import { problemSchema } from '../schemas.ts'
import type { App } from '../server.ts'

/** Errors that any call may return. */
const anyCall = { 400: problemSchema }
const anyGuardedCall = { 401: problemSchema, 403: problemSchema, 429: problemSchema, 503: problemSchema }
const anyBody = { 413: problemSchema, 415: problemSchema }

const tags = [
  { name: 'jobs', description: 'Job definitions, one file each' },
  { name: 'runs', description: 'Start, watch, change and stop runs' },
  { name: 'quarantine', description: 'Rows that fail by themselves' },
  { name: 'global', description: 'All runs at once' },
  { name: 'service', description: 'Liveness and readiness of the process; needs no token' },
]

/** Serves the OpenAPI description, generated from the schemas that validate requests. */
export async function openapi(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'evenkeel',
        version,
        license: { name: 'MIT', identifier: 'MIT' },
        description: 'Backfills on a live PostgreSQL. Errors are problem+json (RFC 9457); times are ISO 8601 UTC.',
      },
      servers: [{ url: '/', description: 'This process' }],
      tags,
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }, {}],
    },
    transform(route) {
      const { schema } = route
      if (!schema || schema.hide) return jsonSchemaTransform(route)
      const isOpen = schema.tags?.includes('service')
      const errors = {
        ...anyCall,
        ...(isOpen ? {} : anyGuardedCall),
        ...(schema.body ? anyBody : {}),
      }
      const described = { ...schema, response: { ...errors, ...(schema.response as object) } }
      return jsonSchemaTransform({ ...route, schema: isOpen ? { ...described, security: [] } : described })
    },
    transformObject: (documented) => {
      const described = withoutUnused(jsonSchemaTransformObject(documented))
      for (const operation of operationsOf(described)) correct(operation)
      return described
    },
  })
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
}

/** The plugin describes each schema both as input and as output. Most are used as only one of the two. */
function withoutUnused<Described extends object>(described: Described): Described {
  const { components } = described as { components?: { schemas?: Readonly<Record<string, unknown>> } }
  const text = JSON.stringify(described)
  const schemas = Object.entries(components?.schemas ?? {})
  const used = schemas.filter(([name]) => text.includes(`"#/components/schemas/${name}"`))
  if (used.length === schemas.length) return described
  return withoutUnused({ ...described, components: { ...components, schemas: Object.fromEntries(used) } })
}

interface Operation {
  readonly requestBody?: {
    required?: boolean
    readonly content: Readonly<Record<string, { readonly schema: { readonly anyOf?: readonly { type?: unknown }[] } }>>
  }
  readonly responses: Readonly<Record<string, { content?: Readonly<Record<string, { readonly schema: object }>> }>>
}

function operationsOf(described: object): Operation[] {
  const { paths = {} } = described as { paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>> }
  return Object.values(paths).flatMap((path) => Object.values(path))
}

/** The plugin marks every body as required and every answer as plain JSON. */
function correct({ requestBody, responses }: Operation): void {
  const body = requestBody?.content['application/json']?.schema
  if (requestBody && body?.anyOf?.some(({ type }) => type === 'null')) requestBody.required = false
  for (const response of Object.values(responses)) {
    const json = response.content?.['application/json']
    if (json && JSON.stringify(json.schema).includes('#/components/schemas/Problem"'))
      response.content = { 'application/problem+json': json }
  }
}
