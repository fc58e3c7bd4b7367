import { useQuery } from "@tanstack/react-query"
import { useState } from "react"
import { queryClient } from "../api/client.ts"
import { useMay, useMeta } from "../api/meta.ts"
import { logout } from "../api/session.ts"
import { createToken, listTokens, revokeToken, type Token } from "../api/tokens.ts"
import { listViews, removeView } from "../api/views.ts"
import { prefer, usePreferences } from "../preferences.ts"
import { jobsAt, Link } from "../router.ts"
import { mustSignIn } from "../shell/login.tsx"
import { Button } from "../ui/button.tsx"
import { Code } from "../ui/copy.tsx"
import { Dialog } from "../ui/dialog.tsx"
import { Card, Page } from "../ui/page.tsx"
import { run } from "../ui/run.ts"
import { Table } from "../ui/table.tsx"
import { Ago } from "../ui/time.tsx"

const localZone = Intl.DateTimeFormat().resolvedOptions().timeZone
const zones = ["local", "UTC", ...Intl.supportedValuesOf("timeZone").filter((zone) => zone !== "UTC")]

export default function SettingsPage() {
  const may = useMay()
  const { visitor, version, login } = useMeta()
  const leave = async () => {
    await logout()
    queryClient.clear()
    mustSignIn.set(true)
  }
  return (
    <Page
      title="Settings"
      actions={
        <>
          <span className="meta">
            {visitor.name} ({visitor.role ?? "own permissions"}), Millrace {version}
          </span>
          {login && <Button onClick={() => void leave()}>Sign out</Button>}
        </>
      }
    >
      <div className="pair">
        <Look />
        <Views />
      </div>
      {may("tokens:read") && <Tokens />}
    </Page>
  )
}

function Look() {
  const { theme, density, zone } = usePreferences()
  return (
    <Card title="How it looks">
      <div className="stack">
        <Choice
          label="Theme"
          value={theme}
          values={["system", "light", "dark"]}
          onChange={(value) => prefer({ theme: value })}
        />
        <Choice
          label="Rows"
          value={density}
          values={["compact", "comfortable"]}
          onChange={(value) => prefer({ density: value })}
        />
        <label className="field short-field">
          <span>Times in</span>
          <select value={zone} onChange={(event) => prefer({ zone: event.target.value })}>
            {zones.map((one) => (
              <option key={one} value={one}>
                {one === "local" ? `this browser’s zone (${localZone})` : one}
              </option>
            ))}
          </select>
        </label>
      </div>
    </Card>
  )
}

interface ChoiceProps<T extends string> {
  label: string
  value: T
  values: readonly T[]
  onChange: (value: T) => void
}

function Choice<T extends string>({ label, value, values, onChange }: ChoiceProps<T>) {
  return (
    <div className="field" role="group" aria-label={label}>
      <span>{label}</span>
      <div>
        <div className="segments">
          {values.map((one) => (
            <button key={one} type="button" aria-pressed={one === value} onClick={() => onChange(one)}>
              {one}
            </button>
          ))}
        </div>
      </div>
    </div>
  )
}

function Views() {
  const may = useMay()
  const views = useQuery({ queryKey: ["views"], queryFn: listViews }).data ?? []
  return (
    <Card title="Saved views" flush>
      {views.length === 0 && <p className="body muted">None. Save a search on the page of jobs.</p>}
      <ul className="lines-list">
        {views.map((view) => (
          <li key={view.id} className="row">
            <Link to={jobsAt(view.query)}>
              <span className="name">{view.name}</span>
              <code className="tag">{view.query}</code>
              <span className="meta">{view.shared ? `by ${view.createdBy}, for everybody` : "only yours"}</span>
            </Link>
            {may("views:write") && (
              <Button
                small
                icon="trash"
                kind="ghost"
                label={`Remove ${view.name}`}
                onClick={() => void run(() => removeView(view.id), "The view is gone.", "views")}
              />
            )}
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Tokens() {
  const may = useMay()
  const [make, setMake] = useState(false)
  const tokens = useQuery({ queryKey: ["tokens"], queryFn: listTokens }).data ?? []
  const live = tokens.filter((token) => token.revokedAt === null)
  return (
    <Card
      title="API tokens"
      flush
      actions={
        may("tokens:write") && (
          <Button small icon="plus" onClick={() => setMake(true)}>
            New token
          </Button>
        )
      }
    >
      {live.length === 0 ? (
        <p className="body muted">None. A token lets a program do what its scopes say, until it expires.</p>
      ) : (
        <Table
          label="API tokens"
          rows={live}
          keyOf={(token) => token.id}
          cols={[
            { title: "Name", cell: (token) => token.name },
            { title: "May", cell: (token) => <span className="mono cut cell">{token.scopes.join(" ")}</span> },
            { title: "Used", right: true, wide: true, cell: (token) => <Ago at={token.usedAt} fallback="never" /> },
            { title: "Expires", right: true, cell: (token) => <Ago at={token.expiresAt} fallback="never" /> },
            { title: "Do", right: true, cell: (token) => (may("tokens:write") ? <Revoke token={token} /> : null) },
          ]}
        />
      )}
      {make && <TokenDialog onClose={() => setMake(false)} />}
    </Card>
  )
}

const Revoke = ({ token }: { token: Token }) => (
  <Button small kind="danger" onClick={() => void run(() => revokeToken(token.id), "Revoked.", "tokens")}>
    Revoke
  </Button>
)

function TokenDialog({ onClose }: { onClose: () => void }) {
  const { grants } = useMeta()
  const [name, setName] = useState("")
  const [scopes, setScopes] = useState<readonly string[]>(["jobs:read"])
  const [expiresIn, setExpiresIn] = useState("90d")
  const [secret, setSecret] = useState<string>()
  const [error, setError] = useState<unknown>()
  const save = async () => {
    try {
      setSecret((await createToken(name.trim(), scopes, expiresIn)).secret)
      await queryClient.invalidateQueries({ queryKey: ["tokens"] })
    } catch (thrown) {
      setError(thrown)
    }
  }
  if (secret !== undefined) {
    return (
      <Dialog title="The new token" onClose={onClose} footer={<Button onClick={onClose}>Done</Button>}>
        <p>It is shown this once, and kept nowhere.</p>
        <Code label="Copy the token">{secret}</Code>
      </Dialog>
    )
  }
  const toggle = (scope: string) =>
    setScopes(scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope])
  return (
    <Dialog
      title="New token"
      onClose={onClose}
      onSubmit={() => void save()}
      error={error}
      footer={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button kind="primary" type="submit" disabled={name.trim() === "" || scopes.length === 0}>
            Make the token
          </Button>
        </>
      }
    >
      <div className="fields">
        <label className="field">
          <span>Name</span>
          <input autoFocus value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        <label className="field">
          <span>Expires in</span>
          <input value={expiresIn} onChange={(event) => setExpiresIn(event.target.value)} />
        </label>
      </div>
      <fieldset className="scopes">
        <legend>May</legend>
        {grants.map((scope) => (
          <label key={scope} className="row tight">
            <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
            <span className="mono">{scope}</span>
          </label>
        ))}
      </fieldset>
    </Dialog>
  )
}
