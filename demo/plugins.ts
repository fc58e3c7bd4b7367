// The plugins of the demo, for the workers and for the process that shows them: the same list, so that the tables fit.
import { cron, flows, workflows } from "millrace"
import { alerts, errorGroups, metrics } from "millrace/worker"

export function demoPlugins() {
  const [schedules, orders, runs] = [cron(), workflows(), flows()]
  // Written more often than usual, so that the charts move while one looks.
  const all = [schedules, orders, runs, metrics({ every: "2s", queuesEvery: "3s" }), errorGroups(), alerts()]
  return { schedules, orders, runs, all }
}

export type DemoPlugins = ReturnType<typeof demoPlugins>
