/** The pipe over which a child process says why it ends itself: its IPC channel belongs to a thread that may be blocked. */
export const watchPipe = 4

export const overMemory = (rss: number): string => `memory ${rss}\n`

/** Resident bytes that the child had when it ended itself for them. */
export function memoryOf(said: string): number | undefined {
  const found = /^memory (\d+)$/m.exec(said)
  return found ? Number(found[1]) : undefined
}
