import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PodMonitor, PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'
import { Deployment, type IDeployment } from 'kubernetes-models/apps/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, type IConfigMap, type ISecret, Secret, Service } from 'kubernetes-models/v1'
import { expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import {
  dockerfileOnly,
  imageEnvironment,
  knownVariables,
  manifestsOf,
  repository,
  stopsWithinSeconds,
  textOf,
  yamlOf,
} from '../support/deploy.ts'

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
}
type Labels = Record<string, string>

const folder = 'deploy/kubernetes/'
const { resources, images } = yamlOf<{ resources: string[]; images: { name: string; newTag: string }[] }>(
  `${folder}kustomization.yaml`,
)
const secretExample = 'secret.example.yaml'
const manifests = [...resources, secretExample].flatMap((file) => manifestsOf<Manifest>(`${folder}${file}`))

const models = {
  ConfigMap: [ConfigMap, 'kubernetes-models/v1'],
  Secret: [Secret, 'kubernetes-models/v1'],
  Service: [Service, 'kubernetes-models/v1'],
  Deployment: [Deployment, 'kubernetes-models/apps/v1'],
  PodDisruptionBudget: [PodDisruptionBudget, 'kubernetes-models/policy/v1'],
  PodMonitor: [PodMonitor, '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'],
  PrometheusRule: [PrometheusRule, '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1'],
} as const

function of<T>(kind: keyof typeof models): (Manifest & T)[] {
  return manifests.filter((manifest) => manifest.kind === kind) as (Manifest & T)[]
}

function only<T>(kind: keyof typeof models): Manifest & T {
  const [first, ...others] = of<T>(kind)
  if (first === undefined || others.length > 0) throw new Error(`not one ${kind}`)
  return first
}

function secretNamed(name: string): Manifest & ISecret {
  const found = manifests.find(({ kind, metadata }) => kind === 'Secret' && metadata.name === name)
  if (!found) throw new Error(`no Secret ${name}`)
  return found as Manifest & ISecret
}

const deployments = of<IDeployment>('Deployment').map((deployment) => {
  const { template, selector } = deployment.spec as NonNullable<IDeployment['spec']>
  const pod = template.spec as NonNullable<typeof template.spec>
  const [container] = pod.containers
  if (container === undefined || pod.containers.length > 1) throw new Error('not one container')
  return {
    name: deployment.metadata.name,
    deployment,
    labels: template.metadata?.labels as Labels,
    selector,
    pod,
    container,
  }
})

test('everything is there once', () => {
  expect(manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
    'ConfigMap evenkeel',
    'Deployment evenkeel-api',
    'PodDisruptionBudget evenkeel-api',
    'Service evenkeel',
    'Deployment evenkeel-worker',
    'PodDisruptionBudget evenkeel-worker',
    'PodMonitor evenkeel',
    'PrometheusRule evenkeel',
    'Secret evenkeel-secrets',
    'Secret evenkeel-scrape',
  ])
})

test('each is what its schema wants', () => {
  for (const manifest of manifests) {
    const [Model] = models[manifest.kind as keyof typeof models]
    expect(manifest.apiVersion).toBe(Model.apiVersion)
    expect(() => new Model(manifest as never).validate(), `${manifest.kind} ${manifest.metadata.name}`).not.toThrow()
  }
})

test('and has no field that its type does not know: the cluster would ignore it or refuse it', () => {
  const project = mkdtempSync(join(tmpdir(), 'evenkeel-manifests-'))
  onTestFinished(() => rmSync(project, { recursive: true }))
  symlinkSync(join(repository, 'node_modules'), join(project, 'node_modules'))
  const literals = manifests.map((manifest, index) => {
    const [, from] = models[manifest.kind as keyof typeof models]
    return `export const m${index}: import('${from}').I${manifest.kind} = ${JSON.stringify(manifest)}\n`
  })
  writeFileSync(join(project, 'package.json'), '{"type": "module"}')
  writeFileSync(join(project, 'manifests.ts'), literals.join(''))
  const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2023']
  const tsc = join(repository, 'node_modules/.bin/tsc')
  const { stdout, status } = spawnSync(tsc, [...options, 'manifests.ts'], { cwd: project, encoding: 'utf8' })
  expect(stdout).toBe('')
  expect(status).toBe(0)
})

test('what selects pods selects those that it means', () => {
  const matching = (selector: Labels) =>
    deployments
      .filter(({ labels }) => Object.entries(selector).every(([name, value]) => labels[name] === value))
      .map(({ name }) => name)
  for (const { name, deployment, selector, pod } of deployments) {
    expect(deployment.spec?.replicas).toBe(2)
    expect(matching(selector.matchLabels as Labels)).toEqual([name])
    const [spread] = pod.topologySpreadConstraints ?? []
    expect(matching(spread?.labelSelector?.matchLabels as Labels)).toEqual([name])
  }
  for (const { metadata, spec } of of<{ spec: { selector: { matchLabels: Labels } } }>('PodDisruptionBudget'))
    expect(matching(spec.selector.matchLabels)).toEqual([metadata.name])
  expect(matching(only<{ spec: { selector: Labels } }>('Service').spec.selector)).toEqual(['evenkeel-api'])
  const monitor = only<{ spec: { selector: { matchLabels: Labels } } }>('PodMonitor')
  expect(matching(monitor.spec.selector.matchLabels)).toEqual(['evenkeel-api', 'evenkeel-worker'])
})

test('ports and paths are those of the image and of the service', () => {
  const routes = textOf('src/api/routes/health.ts')
  const paths = new Set<string>()
  for (const { container } of deployments) {
    expect(container.ports).toEqual([{ name: 'http', containerPort: Number(imageEnvironment().PORT) }])
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      expect(probe?.httpGet?.port).toBe('http')
      paths.add(probe?.httpGet?.path as string)
    }
    // A worker that is killed because the database is away comes back to the same database.
    expect(container.livenessProbe?.httpGet?.path).toBe('/livez')
    expect(container.readinessProbe?.httpGet?.path).toBe('/readyz')
    const { periodSeconds = 0, failureThreshold = 0 } = container.startupProbe ?? {}
    // A migration gives up on its locks after a minute.
    expect(periodSeconds * failureThreshold).toBeGreaterThan(60)
  }
  interface Endpoint {
    port: string
    path: string
    authorization: { credentials: { name: string; key: string } }
  }
  const [endpoint] = only<{ spec: { podMetricsEndpoints: Endpoint[] } }>('PodMonitor').spec.podMetricsEndpoints
  expect(endpoint).toMatchObject({ port: 'http', path: '/metrics' })
  // The operator's own `job` has the namespace in it. One given here would be that of all installations.
  expect(endpoint).not.toHaveProperty('relabelings')
  const { name = '', key = '' } = endpoint?.authorization.credentials ?? {}
  expect(Object.keys(secretNamed(name).stringData ?? {})).toEqual([key])
  for (const path of [...paths, endpoint?.path]) expect(routes).toContain(`'${path}',`)
  const service = only<{ spec: { ports: { targetPort: string }[] } }>('Service')
  expect(service.spec.ports.map(({ targetPort }) => targetPort)).toEqual(['http'])
})

test('a pod has no more rights than the image needs, and time to end', () => {
  const [uid, gid] = dockerfileOnly('USER').split(':').map(Number)
  for (const { pod, container } of deployments) {
    expect(pod.securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: uid,
      runAsGroup: gid,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(container.volumeMounts).toEqual([
      { name: 'jobs', mountPath: imageEnvironment().JOBS_DIR, readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
    ])
    expect(pod.volumes?.map(({ name }) => name)).toEqual(['jobs', 'tmp'])
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(stopsWithinSeconds() + 5)
    expect(container.resources).toMatchObject({ requests: { cpu: expect.any(String) }, limits: { memory: '512Mi' } })
  }
  expect(images).toMatchObject([{ name: 'evenkeel' }])
  for (const { container } of deployments) expect(container.image).toBe('evenkeel')
})

test('the environment is one that evenkeel knows; the example of the secrets is one that it refuses', () => {
  const known = knownVariables()
  const config = only<IConfigMap>('ConfigMap')
  const secret = secretNamed('evenkeel-secrets')
  const secrets = secret.stringData as Labels
  for (const { name, container } of deployments) {
    expect(container.envFrom).toEqual([
      { configMapRef: { name: config.metadata.name } },
      { secretRef: { name: secret.metadata.name } },
    ])
    const own = Object.fromEntries((container.env ?? []).map((variable) => [variable.name, variable.value as string]))
    const { NODE_ENV: _, ...ofImage } = imageEnvironment()
    const all = { ...ofImage, ...(config.data as Labels), ...own }
    for (const variable of Object.keys({ ...all, ...secrets })) expect(known).toContain(variable)
    const filledIn = { DATABASE_URL: 'postgres://db/app', API_TOKENS: 'ann:operate:correct-horse-battery' }
    expect(readConfig({ ...all, ...filledIn }).role).toBe(name.replace('evenkeel-', ''))
    for (const [variable, value] of Object.entries(secrets))
      expect(() => readConfig({ ...all, ...filledIn, [variable]: value })).toThrow(variable)
  }
  expect(resources).not.toContain(secretExample)
})

test('the rules are those of grafana/alerts, word by word', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['prometheus-rule.mjs'], {
    cwd: join(repository, folder),
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(textOf(`${folder}prometheus-rule.yaml`), 'make it again: see prometheus-rule.mjs').toBe(stdout)
  const rule = only<{ spec: unknown }>('PrometheusRule')
  expect(rule.spec).toEqual(yamlOf('grafana/alerts/evenkeel.rules.yaml'))
})
