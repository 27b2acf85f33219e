// BullMQ: a hundred jobs at a time; finished jobs are removed.
import { Queue, Worker } from 'bullmq'
import IORedis from 'ioredis'
import { JOBS } from '../marks.js'

const QUEUE = 'bench'
const opts = { removeOnComplete: true }
const connect = (env) => new IORedis(env.BENCH_REDIS_URL, { maxRetriesPerRequest: null })

export async function open(env) {
  const connection = connect(env)
  const queue = new Queue(QUEUE, { connection })
  return {
    add: (name, args) => queue.add(name, args, opts),
    noops: (count) =>
      queue.addBulk(Array.from({ length: count }, () => ({ name: 'noop', data: [], opts }))),
    close: () => queue.close(),
  }
}

export function work(env) {
  const worker = new Worker(QUEUE, async (job) => JOBS[job.name](job.data), {
    connection: connect(env),
    concurrency: 100,
  })
  return { stop: () => worker.close(true) }
}
