//! One event to many clients of a shared stream, one at a time and in bursts.

use std::time::Duration;

use crate::{Scale, measure::Table, peers::Peer, ratio, world::World};

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
    let mut peers: Vec<(Peer, World)> =
        scale.peers.iter().map(|&peer| (peer, all(World::peer(peer)))).collect();
    let deliveries = (scale.events as usize * scale.clients) as f64;
    for _ in 0..scale.rounds {
        let steady = |world: &mut World| {
            let spent = world.source.spent;
            let cost = world.cost(|world| world.steady(scale.events, 50));
            (cost, micros(world.source.spent - spent) / deliveries)
        };
        let (least, _) = steady(&mut floor);
        table.add("... the floor: CPU of a delivery", "µs", None, micros(least) / deliveries);
        let (ours, upstream) = steady(&mut respool);
        table.whole(STEADY, "× floor", 1.25, ratio(ours, least));
        table.add(UPSTREAM, "µs", None, upstream);
        table.generator("fan-out, steady, 1000 clients", respool.generator);
        for (peer, world) in &mut peers {
            let (theirs, upstream) = steady(world);
            table.beside(peer.name(), STEADY, "× floor", ratio(theirs, least));
            table.beside(peer.name(), UPSTREAM, "µs", upstream);
        }
        let burst = |world: &mut World| world.cost(|world| world.bursts(2, 500));
        let least = burst(&mut floor);
        let (what, deliveries) = ("... the floor: CPU of a delivery in a burst", 1000 * scale.clients);
        table.add(what, "µs", None, micros(least) / deliveries as f64);
        table.whole(BURST, "× coalescing floor", 1.7, ratio(burst(&mut respool), least));
        table.generator("fan-out, bursts", respool.generator);
        for (peer, world) in &mut peers {
            table.beside(peer.name(), BURST, "× coalescing floor", ratio(burst(world), least));
        }
    }
}

/// So many that not all of their sockets are in the cache.
fn many(scale: &Scale, table: &mut Table) {
    let clients = scale.clients * 5;
    let mut floor = with_clients(World::floor(), clients);
    let mut respool = with_clients(World::respool(10_000), clients);
    for _ in 0..scale.rounds {
        let steady = |world: &mut World| world.cost(|world| world.steady(scale.events / 5, 10));
        let least = steady(&mut floor);
        table.whole(MANY, "× floor", 1.25, ratio(steady(&mut respool), least));
        table.generator("fan-out, steady, 5000 clients", respool.generator);
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
