import { useMeta } from "../api/meta.ts"
import { liveState, setPaused } from "../live/events.ts"
import { isDark, prefer, usePreferences } from "../preferences.ts"
import { Button } from "../ui/button.tsx"
import { Icon } from "../ui/icon.tsx"

const modifier = /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘" : "Ctrl "

const liveWords = { live: "Live", paused: "Paused", polling: "Polling" } as const

export function TopBar({ title, onPalette, onHelp }: { title: string; onPalette: () => void; onHelp: () => void }) {
  const { environment, schema, visitor } = useMeta()
  const live = liveState.use()
  usePreferences()
  const classes = live === "live" ? "" : live === "paused" ? " paused" : " lost"
  return (
    <header className="topbar">
      <div className="crumbs">
        {schema.name !== "" && schema.name !== "millrace" && <span className="tag">{schema.name}</span>}
        {environment && (
          <span className={`env${environment === "production" ? " production" : ""}`}>{environment}</span>
        )}
        <span className="sr">{title}</span>
      </div>
      <button type="button" className="button ghost finder" onClick={onPalette}>
        <Icon name="search" />
        <span>Search or go to</span>
        <kbd className="hide-narrow">{modifier}K</kbd>
      </button>
      <span className="grow" />
      <button
        type="button"
        className={`button ghost live${classes}`}
        aria-pressed={live === "paused"}
        title={live === "paused" ? "Go on with live news" : "Hold the page still"}
        onClick={() => setPaused(live !== "paused")}
      >
        <i />
        {liveWords[live]}
      </button>
      <Button
        icon={isDark() ? "sun" : "moon"}
        kind="ghost"
        label={isDark() ? "Light theme" : "Dark theme"}
        onClick={() => prefer({ theme: isDark() ? "light" : "dark" })}
      />
      <Button icon="question" kind="ghost" label="Keyboard shortcuts" className="hide-narrow" onClick={onHelp} />
      {visitor.name && (
        <span className="row tight meta hide-narrow">
          <Icon name="user" />
          {visitor.name}
        </span>
      )}
    </header>
  )
}
