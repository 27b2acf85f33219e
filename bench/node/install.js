// Make the tables of a peer in Node: `install.js PEER`.
const peer = await import(`./peers/${process.argv[2]}.js`)
await peer.install(process.env)
process.exit(0)
