import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { describeApi, descriptionFile, generateTypes, typesFile } from '../../scripts/openapi.ts'

const stale = 'is not what the routes say any more: npm run openapi writes it again'

test('the committed description is what the service serves', async () => {
  expect(await describeApi(), `src/client/openapi.json ${stale}`).toBe(await readFile(descriptionFile, 'utf8'))
})

test('the types of the client are those of the description', async () => {
  const types = await generateTypes(await readFile(descriptionFile, 'utf8'))
  expect(types, `src/client/openapi.ts ${stale}`).toBe(await readFile(typesFile, 'utf8'))
})
