import { TicketsRefused } from '../queue/acceptance.ts'
import type { TicketQueue } from '../queue/queue.ts'
import type { Control } from '../store/control.ts'
import { forgetRefusal, type Ticket, withholdTickets } from '../store/tickets.ts'

/**
 * A queue that takes back the tickets that it refuses, and makes their ranges say why they wait. The rescuer writes new
 * tickets each second until the queue accepts them.
 */
export function openTicketing(queue: TicketQueue, control: Control): TicketQueue {
  return {
    ...queue,
    async put(tickets: readonly Ticket[]) {
      try {
        await queue.put(tickets)
      } catch (error) {
        if (!(error instanceof TicketsRefused)) throw error
        await withholdTickets(control, tickets, error.message, error.since)
        return
      }
      const refused = tickets.filter((ticket) => ticket.refused)
      if (refused.length > 0) await forgetRefusal(control, refused)
    },
  }
}
