import type { TestProject } from 'vitest/node'
import { compilePrograms, type Programs } from './compile.ts'

declare module 'vitest' {
  interface ProvidedContext {
    programs: Programs
  }
}

/** The service, compiled for the tests that start it as a process of its own. */
export default async function setup(project: TestProject): Promise<void> {
  project.provide('programs', await compilePrograms())
}
