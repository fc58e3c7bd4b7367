import { Component, Suspense, useEffect, useState, type ReactNode } from "react"
import { useQuery } from "@tanstack/react-query"
import { metaQuery } from "../api/meta.ts"
import { ApiError, messageOf } from "../api/http.ts"
import { liveState, setPaused, useTopics } from "../live/events.ts"
import { isDark, prefer } from "../preferences.ts"
import { match, navigate, usePlace } from "../router.ts"
import { Button } from "../ui/button.tsx"
import { Problem, Skeleton } from "../ui/loading.tsx"
import { Page } from "../ui/page.tsx"
import { Toasts } from "../ui/toast.tsx"
import { Help } from "./help.tsx"
import { useKeys, type Keymap } from "./keys.ts"
import { Login, mustSignIn } from "./login.tsx"
import { entries, lowerEntries, pages } from "./pages.ts"
import { Palette } from "./palette.tsx"
import { Rail, TabBar } from "./rail.tsx"
import { TopBar } from "./topbar.tsx"

const goKeys: Keymap = Object.fromEntries(
  [...entries, ...lowerEntries].map(({ letter, to }) => [`g ${letter}`, () => navigate(to)]),
)

function useFound() {
  const { path } = usePlace()
  for (const page of pages) {
    const params = match(page.pattern, path)
    if (params) return { page, params }
  }
  return undefined
}

/** A page that breaks leaves the rest standing, and says how. */
class Guard extends Component<{ children: ReactNode; place: string }, { error: unknown; place: string }> {
  override state = { error: undefined as unknown, place: this.props.place }
  static getDerivedStateFromError = (error: unknown) => ({ error })
  static getDerivedStateFromProps = (props: { place: string }, state: { place: string }) =>
    props.place === state.place ? null : { error: undefined, place: props.place }
  override render() {
    if (this.state.error === undefined) return this.props.children
    return (
      <div className="page">
        <Problem
          error={`This page broke: ${messageOf(this.state.error)}`}
          retry={() => this.setState({ error: undefined })}
        />
      </div>
    )
  }
}

export function App() {
  const signIn = mustSignIn.use()
  const meta = useQuery({ ...metaQuery, enabled: !signIn })
  if (signIn) return <Login />
  if (meta.error && !(meta.error instanceof ApiError && meta.error.status === 401)) {
    return (
      <main className="login" id="main">
        <Problem error={meta.error} retry={() => void meta.refetch()} />
      </main>
    )
  }
  return <Shell />
}

function Shell() {
  const [palette, setPalette] = useState(false)
  const [help, setHelp] = useState(false)
  const [rail, setRail] = useState(false)
  const found = useFound()
  const { path } = usePlace()
  useTopics("overview")
  useKeys({
    ...goKeys,
    "mod+k": () => setPalette(true),
    "?": () => setHelp(true),
    "/": () => focusSearch(() => setPalette(true)),
    t: () => prefer({ theme: isDark() ? "light" : "dark" }),
    p: () => setPaused(liveState.get() !== "paused"),
  })
  const title = found?.page.title ?? "Not found"
  useEffect(() => {
    document.title = `${title} · Millrace`
  }, [title])
  return (
    <div className="shell">
      <a
        className="skip"
        href="#main"
        onClick={(event) => (event.preventDefault(), document.querySelector("main")?.focus())}
      >
        Skip to the page
      </a>
      <Rail open={rail} onClose={() => setRail(false)} />
      <div>
        <TopBar title={title} onPalette={() => setPalette(true)} onHelp={() => setHelp(true)} />
        <main id="main" tabIndex={-1}>
          <Guard place={path}>
            <Suspense fallback={<Waiting />}>
              {found ? <found.page.component key={path} params={found.params} /> : <Nowhere />}
            </Suspense>
          </Guard>
        </main>
      </div>
      <TabBar onMore={() => setRail(!rail)} />
      {palette && <Palette onClose={() => setPalette(false)} />}
      {help && <Help onClose={() => setHelp(false)} />}
      <Toasts />
    </div>
  )
}

function focusSearch(otherwise: () => void): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]")
  if (field) field.focus()
  else otherwise()
}

const Waiting = () => (
  <div className="page">
    <Skeleton rows={8} height={20} />
  </div>
)

const Nowhere = () => (
  <Page title="There is no such page">
    <p className="row">
      The address may be of another release. <Button onClick={() => navigate("/")}>To the overview</Button>
    </p>
  </Page>
)
