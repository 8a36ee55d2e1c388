// A thread that says when the next transaction is due, to a tenth of a millisecond: timers of an event loop are a
// millisecond or more late, which is as long as the transactions themselves take.
// Times between transactions are exponentially distributed: users do not wait for each other.
import { parentPort, workerData } from 'node:worker_threads'

const now = () => Number(process.hrtime.bigint()) / 1e6
const never = new Int32Array(new SharedArrayBuffer(4))

for (let due = now(); ; ) {
  due += (-Math.log(1 - Math.random()) * 1000) / workerData.rate
  const wait = due - now()
  if (wait > 0) Atomics.wait(never, 0, 0, wait)
  parentPort.postMessage(due)
}
