// `curl -N` in a loop, with nothing but the id of the last whole event to come back by.

import { spawn } from 'node:child_process'
import { once } from 'node:events'

import { Origin, Respool, check, eventually, main, numbered, same, sleep, whole } from './world.mjs'

const CUTS = 20

/** The events that a client dispatches of these bytes: a frame without its blank line is none. */
function dispatched(text) {
  const frames = text.replaceAll('\r\n', '\n').split('\n\n').slice(0, -1)
  const values = (frame, field) =>
    frame.split('\n').flatMap((line) => (line.startsWith(`${field}: `) ? [line.slice(field.length + 2)] : []))
  return frames.flatMap((frame) => {
    const data = values(frame, 'data')
    return data.length ? [{ id: values(frame, 'id').at(-1), ...JSON.parse(data.join('\n')) }] : []
  })
}

async function loop() {
  const origin = await Origin.start()
  const respool = await Respool.start(origin.url)
  origin.talk()
  const got = []
  for (let cut = 0; cut <= CUTS; cut++) {
    const id = got.at(-1)?.id
    const header = id ? ['--header', `Last-Event-ID: ${id}`] : []
    const url = `http://127.0.0.1:${respool.port}/feed`
    const stdio = ['ignore', 'pipe', 'ignore']
    const curl = spawn('curl', ['--no-buffer', '--silent', '--noproxy', '*', ...header, url], { stdio })
    const exit = once(curl, 'exit')
    const pieces = []
    curl.stdout.on('data', (piece) => pieces.push(piece))
    const events = () => dispatched(Buffer.concat(pieces).toString())
    await eventually(() => events().length > 0, 'event for curl')
    await sleep(Math.random() * 200)
    if (cut === CUTS) {
      origin.quiet()
      await eventually(() => events().at(-1).n === origin.n, 'last event')
    }
    curl.kill('SIGKILL')
    await exit
    got.push(...events())
    await sleep(Math.random() * 100)
  }
  const of = `curl, private, ${CUTS} cuts, ${got.length} events`
  check(`${of}: each once, in order`, whole(got, got[0].n, origin.n))
  check(`${of}: ids are ours`, numbered(got.map(({ id }) => id)))
  same(`${of}: one upstream connection`, origin.asked.get('/feed'), 1)
  same(`${of}: each answer was a resume`, await respool.answers('/feed'), { fresh: 1, resumed: CUTS })
  same('respool ends with 0 when told to', await respool.stop(), 0)
  origin.stop()
}

await main(60, loop)
