// bench/client.py for peers in Node: `client.js PEER FOLDER OPERATION ARGUMENTS` prints figures.
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from './marks.js'

const WARM_UP = 50
const BATCH = 1000

const rate = (count, start) => ({ per_second: (count / (now() - start)) * 1e9 })

async function noops(client, _, count) {
  for (let left = count; left > 0; left -= BATCH) await client.noops(Math.min(left, BATCH))
  return {}
}

const OPERATIONS = {
  noops,
  async one_by_one(client, _, count) {
    for (let i = 0; i < WARM_UP; i++) await client.add('noop', [])
    const start = now()
    for (let i = 0; i < count; i++) await client.add('noop', [])
    return rate(count, start)
  },
  async bulk(client, folder, count) {
    await client.noops(BATCH)
    const start = now()
    await noops(client, folder, count)
    return rate(count, start)
  },
  async concurrent(client, _, count) {
    await client.add('noop', [])
    const start = now()
    await Promise.all(Array.from({ length: count }, () => client.add('noop', [])))
    return rate(count, start)
  },
  async fill(client, folder, count) {
    await client.add('mark', [`${folder}/first`])
    await noops(client, folder, count - 2)
    await client.add('mark', [`${folder}/last`])
    return {}
  },
  async latency(client, folder, count, every) {
    const start = now()
    for (let i = 0; i < count; i++) {
      await sleep(Math.max(0, (start - now()) / 1e6 + i * every * 1e3))
      await client.add('stamp', [`${folder}/ages`, now()])
    }
    return {}
  },
}

const [name, folder, operation, rest] = process.argv.slice(2)
const peer = await import(`./peers/${name}.js`)
const client = await peer.open(process.env)
console.log(JSON.stringify(await OPERATIONS[operation](client, folder, ...JSON.parse(rest))))
await client.close()
process.exit(0)
