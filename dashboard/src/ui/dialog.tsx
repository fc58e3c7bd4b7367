import { useEffect, useId, useRef, type ReactNode } from "react"
import { messageOf } from "../api/http.ts"

export interface DialogProps {
  title: string
  wide?: boolean
  onClose: () => void
  /** Given, the dialog is a form. */
  onSubmit?: () => void
  footer?: ReactNode
  error?: unknown
  children: ReactNode
}

/** The browser's own modal dialog: it keeps the focus inside, closes on Escape and gives the focus back. */
export function Dialog({ title, wide, onClose, onSubmit, footer, error, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const before = document.activeElement
    ref.current?.showModal()
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  const content = (
    <>
      <header>
        <h2 id={heading}>{title}</h2>
      </header>
      <div className="body">
        {children}
        {error !== undefined && error !== null && (
          <p className="problem" role="alert">
            {messageOf(error)}
          </p>
        )}
      </div>
      {footer && <footer>{footer}</footer>}
    </>
  )
  return (
    <dialog
      ref={ref}
      className={`dialog${wide ? " wide" : ""}`}
      aria-labelledby={heading}
      onClose={onClose}
      onClick={(event) => event.target === ref.current && onClose()}
      onKeyDown={(event) => {
        if (onSubmit && event.key === "Enter" && (event.metaKey || event.ctrlKey)) onSubmit()
      }}
    >
      {onSubmit ? (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            onSubmit()
          }}
        >
          {content}
        </form>
      ) : (
        <div>{content}</div>
      )}
    </dialog>
  )
}
