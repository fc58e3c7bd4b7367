// The work itself, the same for a job and for the plain pass: it knows nothing of jobs.
import { createHash, type Hash } from "node:crypto"
import { constants } from "node:fs"
import { open, type FileHandle } from "node:fs/promises"
import { pipeline } from "node:stream/promises"
import { promisify } from "node:util"
import { createGzip, gzip } from "node:zlib"
import { codeOf } from "./problem.ts"

export interface Measurement {
  sha256: string
  bytes: number
  /** Line feeds, as `wc -l` counts. */
  lines: number
  gzip: number
}

/** Larger files are streamed, so that memory stays bounded. */
const wholeUpTo = 1 << 20

// Neither a link nor a pipe that has taken the file's place since it was listed.
const flags = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)

/** Compression runs in libuv's threads (`gzip`, not `gzipSync`), so that the event loop stays free. */
export async function measureFile(path: string, signal?: AbortSignal): Promise<Measurement> {
  await using file = await open(path, flags)
  const { size } = await file.stat()
  const measured = await (size <= wholeUpTo ? measureWhole(file) : measureStream(file, signal))
  if (measured.bytes !== size) throw new Error(`${path} changed while it was read`)
  return measured
}

/** Whether trying again is in vain: the file is gone, or not ours to read. Anything else may pass. */
export const isHopeless = (error: unknown): boolean =>
  ["ENOENT", "EACCES", "EPERM", "ELOOP", "ENOTDIR", "EISDIR", "ENXIO"].includes(codeOf(error))

async function measureWhole(file: FileHandle): Promise<Measurement> {
  const content = await file.readFile()
  const packed = await promisify(gzip)(content)
  return { ...tally(content), gzip: packed.length }
}

function tally(content: Buffer) {
  const hash = createHash("sha256").update(content)
  return { sha256: hash.digest("hex"), bytes: content.length, lines: lineFeeds(content) }
}

async function measureStream(file: FileHandle, signal: AbortSignal | undefined): Promise<Measurement> {
  const hash: Hash = createHash("sha256")
  const sum = { bytes: 0, lines: 0, gzip: 0 }
  async function* look(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      hash.update(chunk)
      sum.bytes += chunk.length
      sum.lines += lineFeeds(chunk)
      yield chunk
    }
  }
  async function weigh(packed: AsyncIterable<Buffer>) {
    for await (const chunk of packed) sum.gzip += chunk.length
  }
  const source = file.createReadStream({ highWaterMark: 256 * 1024 })
  await pipeline(source, look, createGzip(), weigh, signal ? { signal } : {})
  return { sha256: hash.digest("hex"), ...sum }
}

function lineFeeds(content: Buffer): number {
  let found = 0
  for (let at = 0; at < content.length; at++) if (content[at] === 10) found++
  return found
}
