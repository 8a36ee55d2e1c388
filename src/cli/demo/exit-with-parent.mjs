// Loaded first into each process of the demo, so that it ends when the demo is gone, even after a SIGKILL. Plain
// JavaScript, so that it works before a loader does. Not process.exit: that can wait for ever for a loader's thread
// that is starting.
const leave = () => process.kill(process.pid, 'SIGKILL')

if (!process.connected) leave()
process.on('disconnect', leave)
// Listening must not keep a process alive that has finished its work.
process.channel?.unref()
