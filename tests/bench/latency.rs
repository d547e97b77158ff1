//! How long an event takes from the source to its clients.

use std::time::Duration;

use crate::{
    Scale,
    measure::{Table, p50, p99},
    peers::Peer,
    ratio,
    world::World,
};

const HOP: [&str; 2] = ["the hop, 10 clients, 50 events/s: p50", "the hop, 10 clients, 50 events/s: p99"];
const SHARED: [&str; 2] = [
    "the hop, a shared stream, 10 clients, 50 events/s: p50",
    "the hop, a shared stream, 10 clients, 50 events/s: p99",
];
const MANY: [&str; 2] = ["1000 clients, 10 events/s: p50", "1000 clients, 10 events/s: p99"];

pub(crate) fn latency(scale: &Scale, table: &mut Table) {
    hop(scale, table);
    many(scale, table);
}

/// What the hop adds to the way from the source to a client.
fn hop(scale: &Scale, table: &mut Table) {
    let mut worlds = vec![
        (None, "/shared", World::direct()),
        (None, "/private", World::respool(1000)),
        (None, "/shared", World::respool(1000)),
    ];
    worlds.extend(scale.peers.iter().map(|&peer| (Some(peer), "/shared", World::peer(peer))));
    for (_, path, world) in &mut worlds {
        world.join(path, 10);
        world.steady(5, 50);
    }
    for _ in 0..scale.rounds {
        let delays = by_turns(&mut worlds, scale.events, 50);
        let [direct, private, shared] = [0, 1, 2].map(|at| quantiles(&delays[at]));
        table.add("direct, 10 clients, 50 events/s: p50", "µs", None, direct[0].as_secs_f64() * 1e6);
        table.add("... p99 of direct", "µs", None, direct[1].as_secs_f64() * 1e6);
        for at in [0, 1] {
            table.whole(HOP[at], ratio(private[at], direct[at]));
            table.whole(SHARED[at], ratio(shared[at], direct[at]));
        }
        for ((peer, ..), delays) in worlds.iter().zip(&delays) {
            let Some(peer) = peer else { continue };
            let theirs = quantiles(delays);
            for at in [0, 1] {
                table.beside(peer.name(), HOP[at], "× direct", ratio(theirs[at], direct[at]));
            }
        }
    }
}

/// Until all of many have it.
fn many(scale: &Scale, table: &mut Table) {
    let mut worlds = vec![(None, "/shared", World::floor()), (None, "/shared", World::respool(1000))];
    for (_, path, world) in &mut worlds {
        world.join(path, scale.clients);
        world.steady(5, 10);
    }
    for _ in 0..scale.rounds {
        let delays = by_turns(&mut worlds, scale.events / 2, 10);
        let [floor, ours] = [0, 1].map(|at| quantiles(&delays[at]));
        table.add("the floor, 1000 clients, 10 events/s: p50", "µs", None, floor[0].as_secs_f64() * 1e6);
        table.whole(MANY[0], ratio(ours[0], floor[0]));
        table.whole(MANY[1], ratio(ours[1], floor[1]));
    }
}

fn quantiles(delays: &[Duration]) -> [Duration; 2] {
    [p50(delays.to_vec()), p99(delays.to_vec())]
}

/// How long so many events take in each of these, by turns in small steps: whatever else the machine does meanwhile, all have
/// their part of it.
fn by_turns(
    worlds: &mut [(Option<Peer>, &'static str, World)],
    events: u64,
    per_second: u32,
) -> Vec<Vec<Duration>> {
    let mut delays = vec![Vec::new(); worlds.len()];
    for _ in 0..5 {
        for ((.., world), delays) in worlds.iter_mut().zip(&mut delays) {
            delays.extend(world.hops(events.div_ceil(5), per_second));
        }
    }
    delays
}
