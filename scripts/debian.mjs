// A server for the tests that need one, without touching the system and without root: on Debian and Ubuntu from the
// distribution's own signed packages, unpacked into node_modules/.cache, where src/embedded/find.ts looks.
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * `names`: of packages that hold a program of the same name, any of which will do. `also`: what else of that package is
 * needed. `folder`: in node_modules/.cache. `what` the tests need. `reads`: a folder of the package that the program insists
 * on. With --require on the command line: exit code 1 when there is none in the end.
 */
export function provide({ names, also = [], folder, what, reads = null }) {
  const home = fileURLToPath(new URL(`../node_modules/.cache/${folder}`, import.meta.url))
  if (areThere(names, also, home)) return
  try {
    fetchPackages(names, also, home, reads)
  } catch (error) {
    const [name] = names
    console.error(
      `No ${name}: ${error.message}. Tests that need ${what} are left out; to have them, ` +
        `${process.platform === 'darwin' ? `brew install ${folder}` : `apt-get install ${name}`}.`,
    )
    process.exitCode = process.argv.includes('--require') ? 1 : 0
  }
}

function areThere(names, also, home) {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== ''), home]
  const isThere = (name) => folders.some((folder) => isExecutable(join(folder, name)))
  return names.some(isThere) && also.every(isThere)
}

function fetchPackages(names, also, home, reads) {
  for (const tool of ['apt-get', 'dpkg-deb']) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0) {
      throw new Error(`none on PATH, and without ${tool} none can be fetched`)
    }
  }
  console.error(`Fetching ${names[0]} for the tests (into node_modules/.cache, the system stays as it is) ...`)
  const staging = `${home}.${process.pid}`
  try {
    mkdirSync(join(staging, 'debs'), { recursive: true })
    // lists of our own when the system's are missing, or so old that what they name is gone from the mirror
    const first = download(names, staging, [])
    if (first !== null) {
      refreshLists(staging)
      const again = download(names, staging, ownLists(staging))
      if (again !== null) throw new Error(`${first}; after fetching fresh lists: ${again}`)
    }
    const programs = unpack(names, also, staging)
    if (reads !== null) relocate(join(staging, programs[0]), reads)
    for (const folder of ['debs', 'apt']) rmSync(join(staging, folder), { recursive: true, force: true })
    for (const program of programs) {
      const { status, stderr } = spawnSync(join(staging, program), ['--version'], { encoding: 'utf8' })
      if (status !== 0) throw new Error(`the fetched ${program} does not run (${lastLine(stderr)})`)
    }
    rmSync(home, { recursive: true, force: true })
    renameSync(staging, home)
  } catch (error) {
    // another run got there in the meantime
    if (!areThere(names, also, home)) throw error
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** What apt would install here, that is the server and those libraries that this machine lacks. Null when it worked. */
function download(names, staging, options) {
  let failure = ''
  for (const name of names) {
    const plan = apt(['install', '--simulate', '--no-install-recommends', ...options, name], staging)
    const packages = [...plan.stdout.matchAll(/^Inst (\S+)/gm)].map(([, each]) => each)
    if (plan.status !== 0 || packages.length === 0) {
      failure ||= `apt does not offer it (${lastLine(plan.stderr)})`
      continue
    }
    const got = apt(['download', ...options, ...packages], join(staging, 'debs'))
    if (got.status === 0) return null
    failure = `the download failed (${lastLine(got.stderr)})`
  }
  return failure
}

function refreshLists(staging) {
  for (const folder of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(staging, 'apt', folder), { recursive: true })
  // its exit code says nothing: the system's own hooks fail after a perfectly good update when we are not root
  apt(['update', ...ownLists(staging)], staging)
}

function ownLists(staging) {
  const own = join(staging, 'apt')
  const places = [
    `State=${own}`,
    `State::lists=${own}/lists`,
    'State::status=/var/lib/dpkg/status',
    `Cache=${own}/cache`,
  ]
  return places.flatMap((place) => ['-o', `Dir::${place}`])
}

function apt(args, cwd) {
  // Sandbox: root's apt would fetch as _apt, which may not get in here. NoLocking: the system's state stays as it is
  const common = ['Debug::NoLocking=1', 'APT::Sandbox::User=root', 'Acquire::Retries=2', 'Acquire::http::Timeout=20']
  const env = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' }
  const options = ['-q', '-y', ...common.flatMap((each) => ['-o', each])]
  return spawnSync('apt-get', [...options, ...args], { cwd, env, encoding: 'utf8', timeout: 180_000 })
}

/** Unpacks next to scripts that tell the loader where the libraries are; returns the scripts' names. */
function unpack(names, also, staging) {
  const root = join(staging, 'root')
  for (const deb of readdirSync(join(staging, 'debs'))) {
    const { status, stderr } = spawnSync('dpkg-deb', ['-x', join(staging, 'debs', deb), root], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`cannot unpack ${deb} (${lastLine(stderr)})`)
  }
  return [names, ...also.map((name) => [name])].map((anyOf) => {
    const program = anyOf
      .flatMap((name) => [`usr/bin/${name}`, `usr/sbin/${name}`])
      .find((each) => existsSync(join(root, each)))
    if (program === undefined) throw new Error(`the packages fetched hold no ${anyOf[0]}`)
    const script = [
      '#!/bin/sh',
      'here=$(cd "$(dirname "$0")" && pwd)',
      'for lib in "$here"/root/usr/lib/*-linux-* "$here"/root/lib/*-linux-*; do',
      '  [ -d "$lib" ] && LD_LIBRARY_PATH="$' + '{LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$lib"',
      'done',
      'export LD_LIBRARY_PATH',
      `exec "$here/root/${program}" "$@"`,
      '',
    ]
    const name = basename(program)
    writeFileSync(join(staging, name), script.join('\n'), { mode: 0o755 })
    return name
  })
}

/**
 * The path is compiled in, and nothing but bytes of the same number can take its place: the same path, relative, with one
 * slash doubled for the one that it loses. The program is started where that leads to the unpacked folder.
 */
function relocate(script, path) {
  const text = readFileSync(script, 'utf8')
  const [, program] = /^exec "\$here\/(\S+)"/m.exec(text)
  const file = join(dirname(script), program)
  const relative = path.slice(1).replace('/', '//')
  writeFileSync(file, readFileSync(file, 'latin1').replaceAll(path, relative), 'latin1')
  writeFileSync(script, text.replace('exec ', 'cd "$here/root" || exit\nexec '))
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function lastLine(text) {
  return text?.trim().split('\n').at(-1) || 'no reason given'
}
