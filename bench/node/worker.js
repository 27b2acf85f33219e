// One worker process of a peer in Node: `worker.js PEER`; SIGTERM ends it.
const peer = await import(`./peers/${process.argv[2]}.js`)
const worker = await peer.work(process.env)
process.once('SIGTERM', async () => {
  await worker.stop()
  process.exit(0)
})
