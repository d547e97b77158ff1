// The npm package `eventsource`, through respool, against an express server that sends no ids.

import { EventSource } from 'eventsource'

import { Origin, Relay, Respool, check, eventually, main, numbered, same, whole } from './world.mjs'

const CUTS = 20
const CLIENTS = 5

/** A client that writes down what it got. */
function listen(url) {
  const client = { events: [], ids: [], source: new EventSource(url), closed: false }
  client.source.addEventListener('message', (event) => {
    client.events.push(JSON.parse(event.data))
    client.ids.push(event.lastEventId)
  })
  client.source.addEventListener('error', () => {
    client.closed ||= client.source.readyState === EventSource.CLOSED
  })
  return client
}

const caughtUp = (client, origin) => client.events.at(-1)?.n === origin.n

async function world(part) {
  const origin = await Origin.start()
  const respool = await Respool.start(origin.url)
  const relay = await Relay.start(respool.port)
  await part(origin, respool, relay)
  relay.stop()
  same('respool ends with 0 when told to', await respool.stop(), 0)
  origin.stop()
}

/** What all this is about: without respool, the same cuts lose events. */
async function without() {
  const origin = await Origin.start()
  const relay = await Relay.start(origin.server.address().port)
  origin.talk()
  const client = listen(`http://127.0.0.1:${relay.port}/feed`)
  await eventually(() => client.events.length > 0, 'first event')
  await relay.cutAtRandom('/feed', 3, 100)
  const before = client.events.length
  await eventually(() => client.events.length > before + 5, 'event after the last cut')
  origin.quiet()
  await eventually(() => caughtUp(client, origin), 'last event')
  const got = whole(client.events, client.events[0].n, origin.n)
  check('eventsource, without respool: events are lost', got ? '' : 'none was, so this test proves nothing')
  client.source.close()
  relay.stop()
  origin.stop()
}

const alone = () =>
  world(async (origin, respool, relay) => {
    origin.talk()
    const client = listen(`http://127.0.0.1:${relay.port}/feed`)
    await eventually(() => client.events.length > 0, 'first event')
    await relay.cutAtRandom('/feed', CUTS, 300)
    await eventually(() => relay.streams('/feed').length === 1, 'reconnect')
    origin.quiet()
    await eventually(() => caughtUp(client, origin), 'last event')
    const of = `eventsource, private, ${relay.cuts} cuts, ${client.events.length} events`
    check(`${of}: each once, in order`, whole(client.events, client.events[0].n, origin.n))
    check(`${of}: ids are ours`, numbered(client.ids))
    same(`${of}: the client never gave up`, client.closed, false)
    same(`${of}: one upstream connection`, origin.asked.get('/feed'), 1)
    same(`${of}: no id of ours reached the server`, origin.ids, 0)
    same(`${of}: each answer was a resume`, await respool.answers('/feed'), { fresh: 1, resumed: CUTS })
    const [first, ...later] = relay.resumes.get('/feed')
    const said = [first, later.filter((value) => !/^resumed; missed=\d+$/.test(value))]
    same(`${of}: and said so`, said, ['fresh', []])
    client.source.close()
  })

const together = (path, admission) => () =>
  world(async (origin, respool, relay) => {
    origin.talk()
    const clients = Array.from({ length: CLIENTS }, () => listen(`http://127.0.0.1:${relay.port}${path}`))
    await eventually(() => clients.every((client) => client.events.length > 0), 'first events')
    await relay.cutAtRandom(path, CUTS * CLIENTS, 60)
    origin.quiet()
    await eventually(() => clients.every((client) => caughtUp(client, origin)), 'last events')
    const of = `eventsource, shared, ${admission}, ${CLIENTS} clients, ${relay.cuts} cuts, ${origin.n} events`
    const wrong = clients.map((client) => whole(client.events, client.events[0].n, origin.n))
    check(`${of}: each once, in order`, wrong.find(Boolean))
    check(`${of}: ids are ours`, clients.map((client) => numbered(client.ids)).find(Boolean))
    const ids = clients.map((client) => client.ids.at(-1))
    same(`${of}: all see the same ids`, new Set(ids).size, 1)
    // Admissions come and go; what stays is the one that feeds all.
    await eventually(() => origin.open.get(path) === 1, 'quiet upstream')
    same(`${of}: one upstream connection`, origin.open.get(path), 1)
    if (path === '/shared') same(`${of}: and never another`, origin.asked.get(path), 1)
    same(`${of}: no id of ours reached the server`, origin.ids, 0)
    const answers = await respool.answers(path)
    same(`${of}: each answer was a resume`, Object.keys(answers).sort(), ['fresh', 'resumed'])
    same(`${of}: but the first ones`, answers.fresh, CLIENTS)
    clients.forEach((client) => client.source.close())
  })

await main(
  80,
  without,
  alone,
  together('/shared', 'admitted without asking'),
  together('/admitted', 'admitted upstream'),
)
