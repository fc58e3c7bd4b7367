import type { ButtonHTMLAttributes, ReactNode } from "react"
import { Icon, type IconName } from "./icon.tsx"

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  icon?: IconName
  kind?: "primary" | "danger" | "ghost" | "danger primary"
  small?: boolean
  /** Read by screen readers, and shown on hovering, where there is no text. */
  label?: string
  children?: ReactNode
}

export function Button({ icon, kind, small, label, children, className = "", ...rest }: ButtonProps) {
  const classes = ["button", kind ?? "", small ? "small" : "", children === undefined ? "icon-only" : "", className]
  return (
    <button type="button" className={classes.filter(Boolean).join(" ")} aria-label={label} title={label} {...rest}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  )
}
