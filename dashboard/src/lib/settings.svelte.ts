import { readKey, writeKey } from './api.ts'
import type { Units } from './format.ts'

/** What the viewer has chosen, kept in the browser; the key only as long as the tab. */

export type Theme = 'system' | 'light' | 'dark'

const stored = (name: string) => localStorage.getItem(`runify-${name}`)
/** Where people think in miles. */
const MILES = /-(US|GB|LR|MM)$/i

let units = $state<Units>((stored('units') as Units | null) ?? (MILES.test(navigator.language) ? 'mi' : 'km'))
let theme = $state<Theme>((stored('theme') as Theme | null) ?? 'system')
let key = $state(readKey())
let keyWanted = $state(false)

export const settings = {
  get units() {
    return units
  },
  set units(value: Units) {
    units = value
    localStorage.setItem('runify-units', value)
  },
  get theme() {
    return theme
  },
  set theme(value: Theme) {
    theme = value
    localStorage.setItem('runify-theme', value)
    applyTheme()
  },
  get key() {
    return key
  },
  set key(value: string) {
    key = value
    keyWanted = false
    writeKey(value)
  },
  /** A service has asked for a key, or for another one. */
  get keyWanted() {
    return keyWanted
  },
  set keyWanted(value: boolean) {
    keyWanted = value
  },
}

export function applyTheme(): void {
  if (theme === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme
}
