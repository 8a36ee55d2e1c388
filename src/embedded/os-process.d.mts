export type Steps = readonly (readonly [signal: NodeJS.Signals, milliseconds: number])[]
export function birth(pid: number): string | null
export function alive(pid: number, born?: string | null): boolean
export function commandLine(pid: number): string
export function gone(pid: number, born: string | null, ms: number): Promise<boolean>
export function end(pid: number, born: string | null, steps: Steps): Promise<void>
export function crash(pid: number): Promise<void>
export function freeSharedMemory(dataDir: string): void
