import { useState } from "react"
import { queryClient } from "../api/client.ts"
import { messageOf } from "../api/http.ts"
import { login } from "../api/session.ts"
import { store } from "../store.ts"
import { Button } from "../ui/button.tsx"
import { Brand } from "./rail.tsx"

export const mustSignIn = store(false)

export function Login() {
  const [user, setUser] = useState("")
  const [password, setPassword] = useState("")
  const [error, setError] = useState("")
  const [busy, setBusy] = useState(false)
  const submit = async () => {
    setBusy(true)
    try {
      await login(user, password)
      mustSignIn.set(false)
      await queryClient.resetQueries()
    } catch (thrown) {
      setError(messageOf(thrown))
    } finally {
      setBusy(false)
    }
  }
  return (
    <main className="login" id="main">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault()
          void submit()
        }}
      >
        <Brand />
        <h1>Sign in</h1>
        <label className="field">
          <span>User</span>
          <input autoFocus autoComplete="username" value={user} onChange={(event) => setUser(event.target.value)} />
        </label>
        <label className="field">
          <span>Password</span>
          <input
            type="password"
            autoComplete="current-password"
            value={password}
            onChange={(event) => setPassword(event.target.value)}
          />
        </label>
        {error !== "" && (
          <p className="problem" role="alert">
            {error}
          </p>
        )}
        <Button kind="primary" type="submit" disabled={busy}>
          Sign in
        </Button>
      </form>
    </main>
  )
}
