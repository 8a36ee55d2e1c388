import { TicketsRefused } from '../queue/acceptance.ts'
import type { TicketQueue } from '../queue/queue.ts'
import type { Control } from '../store/control.ts'
import { forgetRefusal, type Ticket, withholdTickets } from '../store/tickets.ts'

/**
 * The queue as a database has it: tickets that it does not take are taken back, and their ranges say why they wait. The rescuer
 * writes new ones each second until it does.
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
