import { store } from "../store.ts"

interface Toast {
  id: number
  text: string
  action?: { label: string; act: () => void }
}

const toasts = store<readonly Toast[]>([])
let last = 0

const drop = (id: number) => toasts.set(toasts.get().filter((toast) => toast.id !== id))

/** Says what happened; with an action (undo), for longer. */
export function say(text: string, action?: Toast["action"]): void {
  const id = ++last
  toasts.set([...toasts.get().slice(-2), { id, text, ...(action ? { action } : {}) }])
  setTimeout(() => drop(id), action ? 12_000 : 5_000)
}

export function Toasts() {
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.use().map(({ id, text, action }) => (
        <div className="toast" key={id}>
          <span>{text}</span>
          {action && (
            <button
              type="button"
              onClick={() => {
                drop(id)
                action.act()
              }}
            >
              {action.label}
            </button>
          )}
        </div>
      ))}
    </div>
  )
}
