import {
  findNodeAtLocation,
  type JSONPath,
  type Node,
  type ParseError,
  type ParseOptions,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser'

/** Where in a JSON text something stands, told as a person looks for it. Nothing of the text is quoted: it may hold a key. */

const wanted: Readonly<Record<string, string>> = {
  InvalidSymbol: 'a word that JSON does not know',
  InvalidNumberFormat: 'not a number',
  PropertyNameExpected: 'a name in double quotes is missing',
  ValueExpected: 'a value is missing',
  ColonExpected: 'a colon is missing',
  CommaExpected: 'a comma is missing',
  CloseBraceExpected: 'a } is missing',
  CloseBracketExpected: 'a ] is missing',
  EndOfFileExpected: 'the text goes on behind its end',
  InvalidCommentToken: 'JSON has no comments',
  UnexpectedEndOfComment: 'a comment is not closed',
  UnexpectedEndOfString: 'a double quote is missing',
  UnexpectedEndOfNumber: 'a number breaks off',
  InvalidUnicode: 'not a Unicode escape',
  InvalidEscapeCharacter: 'not an escape that JSON knows',
  InvalidCharacter: 'a character that must be escaped',
}

/** The first thing that is wrong with the text, with its place; undefined for valid JSON. With `lenient`, comments and trailing commas are right. */
export function faultIn(text: string, lenient = false): string | undefined {
  if (!lenient && parses(text)) return undefined
  const errors: ParseError[] = []
  const options = { disallowComments: !lenient, allowTrailingComma: lenient, allowEmptyContent: false }
  if (treeOf(text, errors, options) === 'too deep') return 'it nests too deep'
  const [first] = errors
  if (!first) return lenient ? undefined : 'it is not known where'
  return `${lineAndColumn(text, first.offset)}: ${wanted[printParseErrorCode(first.error)] ?? 'not understood'}`
}

/** Where the name or item at the end of a path stands, or the nearest thing around it that is there. */
export function placeOf(text: string, path: readonly (string | number)[]): string | undefined {
  const root = treeOf(text)
  if (root === undefined || root === 'too deep') return undefined
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(root, path.slice(0, length) as JSONPath)
    if (node) return lineAndColumn(text, node.parent?.type === 'property' ? node.parent.offset : node.offset)
  }
  return lineAndColumn(text, root.offset)
}

/** The parser calls itself for what is inside, and so is at the end of its stack some day. */
function treeOf(text: string, errors: ParseError[] = [], options?: ParseOptions): Node | undefined | 'too deep' {
  try {
    return parseTree(text, errors, options)
  } catch {
    return 'too deep'
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split(/\r\n|\r|\n/)
  return `line ${before.length}, column ${(before.at(-1) ?? '').length + 1}`
}
