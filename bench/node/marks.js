// bench/marks.py for Node: what the measuring jobs do. process.hrtime is CLOCK_MONOTONIC.
import { openSync, renameSync, writeFileSync, writeSync } from 'node:fs'

const open = new Map()

export const now = () => Number(process.hrtime.bigint())

/** Write the moment, the process and its CPU time so far to `path`, all at once. */
export function mark(path) {
  const at = now()
  const { user, system } = process.cpuUsage()
  const facts = { at, pid: process.pid, cpu: (user + system) * 1000 }
  writeFileSync(`${path}.part`, JSON.stringify(facts))
  renameSync(`${path}.part`, path)
}

/** Append how long ago `sent` was to `path`. */
export function stamp(path, sent) {
  const age = now() - sent
  if (!open.has(path)) open.set(path, openSync(path, 'a'))
  writeSync(open.get(path), `${age}\n`)
}

/** The jobs, by name; each takes the list of its arguments. */
export const JOBS = {
  noop: () => {},
  mark: ([path]) => mark(path),
  stamp: ([path, sent]) => stamp(path, sent),
}
