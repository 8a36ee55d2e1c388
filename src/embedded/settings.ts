/** Names and values as in postgresql.conf. */
export type Settings = Record<string, string>

/**
 * Settings of every cluster. A streaming standby can follow it, and it leaves room for other programs on the machine.
 */
const usual: Settings = {
  listen_addresses: '127.0.0.1',
  // A socket needs a folder that both accounts reach, in a path of at most 107 bytes.
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '128MB',
  wal_level: 'replica',
  max_wal_senders: '10',
  hot_standby: 'on',
  // Kept for a standby that was disconnected. There is no slot: the slot of a standby that never comes back would fill
  // the disk with WAL.
  wal_keep_size: '1GB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%u@%d ',
}

/**
 * Settings of a temporary cluster. It survives a crash of Postgres but not of the machine, which ends it anyway.
 * full_page_writes and synchronous_commit keep their defaults. They change the amount of WAL and what a commit waits
 * for, and with that every measurement.
 */
const throwaway: Settings = {
  fsync: 'off',
  // Otherwise files in /dev/shm stay after a SIGKILL, and in a container /dev/shm has 64 MB.
  dynamic_shared_memory_type: 'mmap',
}

export function settingsFor(temporary: boolean, port: number, own: Settings): Settings {
  return { ...usual, ...(temporary ? throwaway : {}), ...own, port: String(port) }
}

export function configurationFile(settings: Settings): string {
  const lines = Object.entries(settings).map(([name, value]) => {
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name)) throw new Error(`"${name}" is not the name of a Postgres setting`)
    if (/[\r\n\0]/.test(value)) throw new Error(`the Postgres setting ${name} has a line break in its value`)
    return `${name} = '${value.replaceAll('\\', '\\\\').replaceAll("'", "''")}'\n`
  })
  return `# Written at every start; ALTER SYSTEM overrides it.\n${lines.join('')}`
}
