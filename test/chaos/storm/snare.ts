import type { Connection, Verdict } from '../../support/proxy.ts'
import type { Message } from '../../support/wire.ts'

/** Which message a connection is cut at, and where in it. */
export interface Trigger {
  readonly application: string
  readonly from: Message['from']
  readonly type: string
  readonly verdict: Verdict
}

/** Waits for one message of the service's sessions, and cuts the connection that it comes by. */
export class Snare {
  #set: { trigger: Trigger; sprung: () => void } | null = null

  /** Resolves once it has been sprung; a snare that was set before is forgotten. */
  set(trigger: Trigger): Promise<void> {
    return new Promise((sprung) => {
      this.#set = { trigger, sprung }
    })
  }

  forget(): void {
    this.#set = null
  }

  judge({ from, type }: Message, { application }: Connection): Verdict {
    if (!this.#set) return 'pass'
    const { trigger, sprung } = this.#set
    if (trigger.application !== application || trigger.from !== from || trigger.type !== type) return 'pass'
    this.#set = null
    sprung()
    return trigger.verdict
  }
}
