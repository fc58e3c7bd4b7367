import type { ReactNode } from "react"

/** The head of a page, and what belongs to it at the right. */
export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: ReactNode
  lead?: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <div className="page">
      <header>
        <h1>{title}</h1>
        {lead}
        <span className="grow" />
        {actions}
      </header>
      <div className="stack">{children}</div>
    </div>
  )
}

export function Card({
  title,
  actions,
  flush,
  children,
}: {
  title?: ReactNode
  actions?: ReactNode
  flush?: boolean
  children: ReactNode
}) {
  return (
    <section className="card">
      {title !== undefined && (
        <header>
          <h2>{title}</h2>
          <span className="grow" />
          {actions}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
    </section>
  )
}
