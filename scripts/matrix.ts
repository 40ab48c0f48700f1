import { fileURLToPath } from 'node:url'
import { chatAnswers, refusals, type Shown } from './matrix/answers.ts'
import { type Asked, chatAsks, isOffered, otherAsks, reaches, toolAsks } from './matrix/asks.ts'
import { lastResponse, type Played, playedOf } from './matrix/played.ts'
import { type Surface, surfaces } from './matrix/surfaces.ts'
import { type Case, findCases, loadCase } from './replay/cases.ts'

/** What each provider offers, and which recorded cases show that it does. */

type Feature = Asked | Shown

export type Cell = {
  feature: string
  /** The surface, or, of a status, the provider. */
  column: string
  /** Whether the gateway offers it, or has to expect it. */
  expected: boolean
  /** Whether the vendor refuses it though the dialect can say it. */
  refused: boolean
  /** The cases that exercise it. */
  cases: readonly Played[]
}

export type Matrix = {
  /** Rows of cells, each in the order of the surfaces. */
  answers: readonly (readonly Cell[])[]
  asks: readonly (readonly Cell[])[]
  others: readonly (readonly Cell[])[]
  tools: readonly (readonly Cell[])[]
  /** A row for each status, with a cell for each provider. */
  statuses: readonly (readonly Cell[])[]
}

export function readCases(): Case[] {
  const root = fileURLToPath(new URL('../fixtures/cases', import.meta.url))
  return findCases(root, []).map((name) => loadCase(root, name, false))
}

export function matrixOf(cases: readonly Case[]): Matrix {
  const played = cases.map(playedOf).filter((one) => one !== undefined)
  const rowsOf = (features: readonly Feature[]) =>
    features.map((feature) => surfaces.map((surface) => cellOf(feature, surface, played)))
  return {
    answers: rowsOf(chatAnswers),
    asks: rowsOf(chatAsks),
    others: rowsOf(otherAsks),
    tools: rowsOf(toolAsks),
    statuses: statusesOf(played),
  }
}

function cellOf(feature: Feature, surface: Surface, played: readonly Played[]): Cell {
  return {
    feature: feature.name,
    column: surface.name,
    expected: 'shows' in feature ? isSent(feature, surface) : isOffered(feature, surface),
    refused: isRefused(feature, surface),
    cases: played.filter((one) => one.surface === surface && exercises(feature, one)),
  }
}

function isSent({ by }: Shown, { name, dialects }: Surface): boolean {
  return dialects.some(({ chat }) => chat !== undefined) && (by?.includes(name) ?? true)
}

function isRefused(feature: Feature, { name }: Surface): boolean {
  return 'refusedBy' in feature && (feature.refusedBy?.includes(name) ?? false)
}

/** What is asked for is exercised by an answer alone, or, where it is refused, by the refusal. */
function exercises(feature: Feature, played: Played): boolean {
  if ('shows' in feature) return feature.shows(played)
  const { ask, target, dialect, surface, fault } = played
  const answered = isRefused(feature, surface)
    ? fault?.['status'] === 400
    : !fault && (feature.answered?.(played) ?? true)
  return answered && ask.kind === feature.sample.kind && reaches(feature.otherwise, dialect, ask, target)
}

/** The surfaces of a provider are one here: what a status means does not depend on the path. */
function statusesOf(played: readonly Played[]): Cell[][] {
  const groups = [...new Set(surfaces.map(({ group }) => group))]
  const failed = played.filter((one) => one.fault && lastResponse(one).status >= 300)
  const seen = failed.map((one) => lastResponse(one).status)
  const statuses = [...new Set([...Object.values(refusals).flat(), ...seen])].sort((a, b) => a - b)
  return statuses.map((status) =>
    groups.map((column) => ({
      feature: String(status),
      column,
      expected: refusals[column]?.includes(status) ?? false,
      refused: false,
      cases: failed.filter((one) => one.surface.group === column && lastResponse(one).status === status),
    })),
  )
}
