import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto'

/** Certificates of our own for servers on loopback, in as much of X.509 (RFC 5280) as a TLS client looks at. */

export type Certificate = { key: string; cert: string }

const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts)
  const { length } = body
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), body])
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts)
const object = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const commonName = object('550403')
const subjectAltName = object('551d11')
const basicConstraints = object('551d13')
const ecdsaWithSha256 = sequence(object('2a8648ce3d040302'))

const named = (name: string) => sequence(der(0x31, sequence(commonName, der(0x0c, Buffer.from(name)))))
const time = (date: Date) => der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`))

/** A self-signed certificate for a host name or the address 127.0.0.1, valid between days counted from today. */
export function selfSigned(host: string, fromDay = -1, toDay = 1): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const day = (offset: number) => new Date(Date.now() + offset * 86_400_000)
  const altName = host === '127.0.0.1' ? der(0x87, Buffer.from([127, 0, 0, 1])) : der(0x82, Buffer.from(host))
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    named(host),
    sequence(time(day(fromDay)), time(day(toDay))),
    named(host),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        sequence(subjectAltName, der(0x04, sequence(altName))),
        sequence(basicConstraints, der(0x01, Buffer.from([0xff])), der(0x04, sequence(der(0x01, Buffer.from([0xff]))))),
      ),
    ),
  )
  const signature = createSign('sha256').update(body).sign(privateKey)
  const cert = sequence(body, ecdsaWithSha256, der(0x03, Buffer.from([0]), signature)).toString('base64')
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${cert.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
  }
}
