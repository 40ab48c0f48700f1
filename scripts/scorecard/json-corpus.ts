import type { Random } from './random.ts'

/** JSON texts, and texts that are none, of which that is known because of how they were made (RFC 8259). */

export type JsonText = { text: Buffer; valid: boolean }

const validTexts =
  String.raw`0|-0|-1|1.5|1e5|1E+5|1e-5|-0.1e1|123456789012345678901234567890|0e1|0.0|1e400|""|"a"|"\""|"\\"|"\/"|"\b\f\n\r\t"|"\u0000"|"\u00e9"|"\ud83d\ude00"|"\ud800"|"\uDEAD"|"é世界😀"|"\u2028"|"'"|"//"|"/* */"|true|false|null|[]|{}|[[]]|[{}]|{"":0}|{"a":1}|{"a":1,"a":2}|{"a":{"b":[1,2,{"c":null}]}}|[1,"a",true,null,[],{}]| [ 1 , 2 ] |{ "a" : 1 }|["\u0061"]|{"\u0061":1}|{"a\nb":1}|[0.1,-0,1e0]|[null,null]|{"__proto__":1}|{"constructor":{"prototype":1}}|""|" "|[" "]|["\u007f"]|[""]`.split(
    '|',
  )

/** None of them becomes valid inside a list or an object. */
const invalidTexts = `${String.raw`+1|.5|1.|-.5|01|-01|00|0x1|1e|1e+|1E|1.e1|-|--1|1_000|1a|NaN|Infinity|-Infinity|undefined|tru|True|TRUE|nul|nulll|falsee|'a'|"a|a"|"\x41"|"\a"|"\u12"|"\u12G4"|"\'"|"\|"\u"|[1,]|[,1]|[,]|[1,,2]|[1 2]|[1;2]|[1:2]|[|[1|]|1]|[1]]|{|}|{"a"|{"a"}|{"a":}|{"a":1|{"a":1,}|{,"a":1}|{"a" 1}|{"a"::1}|{a:1}|{'a':1}|{1:1}|{null:1}|{"a":1 "b":2}|{"a":1}}|{"a":1]|[1}|[}|{]|/* c */1|1/* c */|//c|#c|1 2|"a" "b"|[] []|{} {}|true false|\u0031|`}\`a\``

const invalidBytes = [
  [0x22, 0x01, 0x22],
  [0x22, 0x09, 0x22],
  [0x22, 0x1f, 0x22],
  [0x22, 0x00, 0x22],
  [0x00],
  [0x0c, 0x31],
  [0xc2, 0xa0, 0x31],
  [0xef, 0xbb, 0xbf, 0x31],
  [0x22, 0xff, 0x22],
  [0x22, 0xc3, 0x22],
  [0x22, 0xc0, 0xaf, 0x22],
  [0x22, 0xed, 0xa0, 0x80, 0x22],
  [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22],
  [0x22, 0xe2, 0x82, 0x22],
  [0xff, 0xfe],
]

const surroundings: readonly [before: string, after: string][] = [
  ['', ''],
  ['[', ']'],
  ['{"k":', '}'],
]

/** About 350 texts: written ones in three surroundings, and valid ones made at random. */
export function createCorpus(random: Random): JsonText[] {
  const written = (texts: readonly Buffer[], valid: boolean) =>
    texts.flatMap((text) =>
      surroundings.map(([before, after]) => ({
        text: Buffer.concat([Buffer.from(before), text, Buffer.from(after)]),
        valid,
      })),
    )
  return [
    ...written(
      validTexts.map((text) => Buffer.from(text)),
      true,
    ),
    ...written(
      [
        ...invalidTexts
          .split('|')
          .filter((text) => text !== '')
          .map((text) => Buffer.from(text)),
        ...invalidBytes.map((bytes) => Buffer.from(bytes)),
      ],
      false,
    ),
    ...Array.from({ length: 40 }, () => ({ text: Buffer.from(made(random, 5)), valid: true })),
  ]
}

function made(random: Random, depth: number): string {
  const space = () => random.pick(['', '', ' ', '\t', '  '])
  const list = (item: () => string) =>
    Array.from({ length: random.below(4) }, () => space() + item() + space()).join(',')
  const text = () => JSON.stringify(random.text(random.below(8), 'aé世"\\/\u0007 {}[],:'))
  const kind = random.below(depth > 0 ? 6 : 3)
  if (kind === 0) return text()
  if (kind === 1) return `${random.pick(['', '-'])}${random.below(1000)}${random.pick(['', '.25', 'e3', 'E-2'])}`
  if (kind === 2) return random.pick(['true', 'false', 'null'])
  if (kind === 3) return `[${list(() => made(random, depth - 1))}]`
  return `{${list(() => `${text()}${space()}:${made(random, depth - 1)}`)}}`
}
