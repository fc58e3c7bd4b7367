// The regular files below a folder. Symbolic links are not followed; sockets, pipes and devices are passed over.
import type { Dirent } from "node:fs"
import { lstat, readdir, realpath, stat } from "node:fs/promises"
import path from "node:path"
import { codeOf, messageOf, Problem } from "./problem.ts"

export interface Skipped {
  links: number
  special: number
  /** Folders that could not be read. */
  closed: number
}

export interface Scan extends Skipped {
  files: number
  bytes: number
}

/** Yields paths relative to `folder`, in no particular order. */
export async function* walk(folder: string, skipped: Skipped = nothingSkipped()): AsyncGenerator<string> {
  for await (const files of walkFolders(folder, skipped)) yield* files
}

/** The folder to walk, as an absolute path; a relative one is taken from where npm was called. */
export async function resolveFolder(given: string): Promise<string> {
  const wanted = path.resolve(process.env.INIT_CWD ?? "", given)
  try {
    const folder = await realpath(wanted)
    if (!(await stat(folder)).isDirectory())
      throw new Problem(`${wanted} is not a folder; name one whose files to read.`)
    await readdir(folder)
    return folder
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(cannotRead(wanted, error))
  }
}

function cannotRead(folder: string, error: unknown): string {
  switch (codeOf(error)) {
    case "ENOENT":
      return `There is no folder ${folder}; check the path, or leave it out for this project's node_modules.`
    case "EACCES":
    case "EPERM":
      return `The folder ${folder} may not be read by this user; name another, or change its permissions.`
    default:
      return `The folder ${folder} cannot be read (${messageOf(error)}); name another.`
  }
}

/** Counts what the passes are going to meet. */
export async function scan(folder: string, signal: AbortSignal): Promise<Scan> {
  const skipped = nothingSkipped()
  let files = 0
  let bytes = 0
  for await (const found of walkFolders(folder, skipped)) {
    signal.throwIfAborted()
    const sizes = await Promise.all(found.map((file) => sizeOf(path.join(folder, file))))
    files += sizes.length
    bytes += sizes.reduce((sum, size) => sum + size, 0)
  }
  return { files, bytes, ...skipped }
}

const nothingSkipped = (): Skipped => ({ links: 0, special: 0, closed: 0 })

const sizeOf = (file: string): Promise<number> =>
  lstat(file).then(
    ({ size }) => size,
    () => 0,
  )

async function* walkFolders(folder: string, skipped: Skipped): AsyncGenerator<string[]> {
  const waiting = [""]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const below = next
    const entries = await entriesOf(path.join(folder, below), skipped)
    const named = (entry: Dirent) => path.join(below, entry.name)
    waiting.push(...entries.filter((entry) => entry.isDirectory()).map(named))
    yield entries.filter((entry) => entry.isFile()).map(named)
    for (const entry of entries) {
      if (entry.isSymbolicLink()) skipped.links++
      else if (!entry.isFile() && !entry.isDirectory()) skipped.special++
    }
  }
}

async function entriesOf(folder: string, skipped: Skipped): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true })
  } catch {
    skipped.closed++
    return []
  }
}
