//! One event to many clients of a shared stream, one at a time and in bursts.

use std::time::Duration;

use crate::{
    Scale,
    measure::Table,
    peers::{Peer, attempt},
    ratio,
    world::World,
};

const STEADY: &str = "fan-out, steady, 1000 clients: CPU";
const UPSTREAM: &str = "... what the upstream pays for a delivery: CPU";
const MANY: &str = "fan-out, steady, 5000 clients: CPU";
const BURST: &str = "fan-out, a burst of 500 to 1000 clients: CPU";

pub(crate) fn delivery(scale: &Scale, table: &mut Table) {
    few(scale, table);
    many(scale, table);
}

/// One that is measured, with so many clients that had a few events each.
fn with_clients(mut world: World, clients: usize) -> World {
    world.join("/shared", clients);
    world.steady(5, 20);
    world
}

fn few(scale: &Scale, table: &mut Table) {
    let all = |world| with_clients(world, scale.clients);
    let (mut floor, mut respool) = (all(World::floor()), all(World::respool(10_000)));
    let begun =
        scale.peers.iter().filter_map(|&peer| Some((peer, attempt(peer, || all(World::peer(peer)))?)));
    let mut peers: Vec<(Peer, World)> = begun.collect();
    for _ in 0..scale.rounds {
        let [least, ours] = [&mut floor, &mut respool].map(|world| steady(world, scale.events));
        table.add("... the floor: CPU of a delivery", "µs", None, least.delivery);
        table.whole(STEADY, ours.delivery / least.delivery);
        table.add(UPSTREAM, "µs", None, ours.upstream);
        table.generator("fan-out, steady, 1000 clients", respool.generator);
        peers.retain_mut(|(peer, world)| {
            let Some(theirs) = attempt(*peer, || steady(world, scale.events.div_ceil(4))) else {
                return false;
            };
            table.beside(peer.name(), STEADY, "× floor", theirs.delivery / least.delivery);
            table.beside(peer.name(), UPSTREAM, "µs", theirs.upstream);
            true
        });
        let [least, ours] = [&mut floor, &mut respool].map(|world| burst(world, 2));
        table.add("... the floor: CPU of a delivery in a burst", "µs", None, least);
        table.whole(BURST, ours / least);
        table.generator("fan-out, bursts", respool.generator);
        peers.retain_mut(|(peer, world)| {
            let Some(theirs) = attempt(*peer, || burst(world, 1)) else { return false };
            table.beside(peer.name(), BURST, "× coalescing floor", theirs / least);
            true
        });
    }
}

/// What a delivery costs the one that is measured, and its upstream, in microseconds.
struct Cost {
    delivery: f64,
    upstream: f64,
}

fn steady(world: &mut World, events: u64) -> Cost {
    let spent = world.source.spent;
    let cost = world.cost(|world| world.steady(events, 50));
    let each = |all: Duration| all.as_secs_f64() * 1e6 / (events as f64 * world.load.clients() as f64);
    Cost { delivery: each(cost), upstream: each(world.source.spent - spent) }
}

/// The same without the upstream's.
fn burst(world: &mut World, bursts: u64) -> f64 {
    let cost = world.cost(|world| world.bursts(bursts, 500));
    cost.as_secs_f64() * 1e6 / (bursts as f64 * 500.0 * world.load.clients() as f64)
}

/// So many that not all of their sockets are in the cache.
fn many(scale: &Scale, table: &mut Table) {
    let clients = scale.clients * 5;
    let mut floor = with_clients(World::floor(), clients);
    let mut respool = with_clients(World::respool(10_000), clients);
    for _ in 0..scale.rounds {
        let [least, ours] = [&mut floor, &mut respool]
            .map(|world| world.cost(|world| world.steady(scale.events.div_ceil(5), 10)));
        table.whole(MANY, ratio(ours, least));
        table.generator("fan-out, steady, 5000 clients", respool.generator);
    }
}
