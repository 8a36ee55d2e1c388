import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import openapiTS, { astToString } from 'openapi-typescript'
import { pino } from 'pino'
import { buildApp } from '../src/api/app.ts'
import { openRegistry } from '../src/registry/registry.ts'
import { createExposition } from '../src/telemetry/exposition.ts'

export const descriptionFile = new URL('../src/client/openapi.json', import.meta.url)
export const typesFile = new URL('../src/client/openapi.ts', import.meta.url)

/** What GET /openapi.json answers, as text. Routes describe themselves without a database. */
export async function describeApi(): Promise<string> {
  const app = await buildApp(
    {
      databases: [],
      registry: openRegistry(fileURLToPath(new URL('../jobs', import.meta.url))),
      log: pino({ level: 'silent' }),
      exposition: createExposition([], '', async () => []),
      tokens: [],
      callsPerSecond: 1,
    },
    { role: 'control' },
  )
  try {
    return `${JSON.stringify((await app.inject('/openapi.json')).json(), null, 2)}\n`
  } finally {
    await app.close()
  }
}

/** The types of a description, as TypeScript source. */
export async function generateTypes(description: string): Promise<string> {
  const nodes = await openapiTS(description, {
    // A value that has a default may be left out of a request.
    defaultNonNullable: false,
    rootTypes: true,
    rootTypesNoSchemaPrefix: true,
  })
  return `// Generated from openapi.json by npm run openapi: change the routes, not this.\n\n${astToString(nodes)}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const description = await describeApi()
  await writeFile(descriptionFile, description)
  await writeFile(typesFile, await generateTypes(description))
}
