/** How a plugin is on a worker. */
export interface PluginHealth {
  readonly name: string
  readonly scope: "worker" | "leader"
  /** `waiting`: for leadership. `done`: it had nothing more to do. `degraded`: it keeps failing, and is tried again at the slowest pace. */
  readonly state: "starting" | "waiting" | "running" | "done" | "restarting" | "degraded" | "stopped"
  /** In a row. */
  readonly crashes: number
  readonly error: string | undefined
  /** What it says is wrong, though it runs. */
  readonly problems: readonly string[]
}
