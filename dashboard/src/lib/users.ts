import { type AnswerOf, getAt } from './api.ts'

/** Who was looked at or sent for last in this browser, and whose events came last. */

const STORED = 'runify-users'
const KEPT_MAX = 8
export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

export type CountedUser = AnswerOf<'/processing/users'>[number]

/** Whether a runner's id may begin so. */
export function isBeginning(text: string): boolean {
  return UUID.test(text + '00000000-0000-0000-0000-000000000000'.slice(text.length))
}

export function rememberedUsers(): string[] {
  try {
    return (JSON.parse(localStorage.getItem(STORED) ?? '[]') as string[]).filter((user) => UUID.test(user))
  } catch {
    return []
  }
}

export function rememberUser(user: string): void {
  const id = user.trim().toLowerCase()
  if (!UUID.test(id)) return
  localStorage.setItem(
    STORED,
    JSON.stringify([id, ...rememberedUsers().filter((other) => other !== id)].slice(0, KEPT_MAX)),
  )
}

export function lastUser(): string {
  return rememberedUsers()[0] ?? ''
}

/** Also where the page did not come by a way that the browser trusts, which has no `randomUUID`. */
export function newUser(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x40
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

type Seen = { user_id: string; date_created: string }

/** The users of the newest events, the newest first. */
export async function recentUsers(signal: AbortSignal): Promise<{ id: string; at: string }[]> {
  const pages = await Promise.all(
    ['running', 'music'].map((kind) =>
      getAt<Seen[]>(`/storage/stats/${kind}?by=date_created&order=desc&limit=200`, signal),
    ),
  )
  const events = pages.flatMap(({ answer }) => answer).sort((a, b) => (a.date_created < b.date_created ? 1 : -1))
  const users = new Map<string, string>()
  for (const { user_id, date_created } of events) if (!users.has(user_id)) users.set(user_id, date_created)
  return [...users].slice(0, 12).map(([id, at]) => ({ id, at }))
}
