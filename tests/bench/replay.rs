//! What was missed: to one client, to a thousand at once, and while more events come.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Scale, measure::Table, ratio, world::World};

/// Some events that are missed by one, in thousands, and what is said of it.
struct Missed {
    events: u64,
    times: usize,
    cpu: &'static str,
    wall: &'static str,
    floor: &'static str,
    floor_wall: &'static str,
    generator: &'static str,
}

const ALONE: [Missed; 2] = [
    Missed {
        events: 10_000,
        times: 10,
        cpu: "replay of 10,000 events to one client: CPU",
        wall: "... until it has them",
        floor: "... the floor: CPU of an event",
        floor_wall: "... until it has them from the floor",
        generator: "replay of 10,000",
    },
    Missed {
        events: 100_000,
        times: 2,
        cpu: "replay of 100,000 events to one client: CPU",
        wall: "... until it has all those",
        floor: "... the floor: CPU of one of those",
        floor_wall: "... until it has all those from the floor",
        generator: "replay of 100,000",
    },
];

pub(crate) fn replay(scale: &Scale, table: &mut Table) {
    let most = ALONE[1].events / scale.part;
    let mut worlds = [World::floor(), World::respool(most + 5000)].map(|mut world| {
        world.join("/shared", 1);
        world.bursts(most / 500 + 1, 500);
        world
    });
    for _ in 0..scale.rounds {
        let walls = ALONE.map(|missed| alone(&mut worlds, &missed, scale, table));
        let times = ratio(walls[1], walls[0]);
        table.whole("replay of ten times as many to one client: time", times);
        storm(&mut worlds, scale, table);
        splice(&mut worlds, scale, table);
    }
}

/// One after the other, and how long it took respool for one.
fn alone(worlds: &mut [World; 2], missed: &Missed, scale: &Scale, table: &mut Table) -> Duration {
    let (events, times) = (missed.events / scale.part, missed.times);
    let [(least, floor), (ours, wall)] =
        worlds.each_mut().map(|world| timed(world, |world| world.resumes(times, events)));
    let [floor, wall] = [floor, wall].map(|all| all / times as u32);
    table.add(missed.floor, "µs", None, least.as_secs_f64() * 1e6 / (events as usize * times) as f64);
    table.whole(missed.cpu, ratio(ours, least));
    table.add(missed.wall, "ms", None, wall.as_secs_f64() * 1e3);
    table.add(missed.floor_wall, "ms", None, floor.as_secs_f64() * 1e3);
    table.receiver(missed.generator, 2.5, worlds[1].generator);
    wall
}

/// Many at once.
fn storm(worlds: &mut [World; 2], scale: &Scale, table: &mut Table) {
    let (clients, missed) = (scale.clients, 1000 / scale.part.min(10));
    let [(least, floor), (ours, wall)] = worlds.each_mut().map(|world| {
        timed(world, |world| {
            world.come_back(clients, missed);
            world.load.read_to(world.source.sent);
        })
    });
    let deliveries = clients as f64 * missed as f64;
    table.add(
        "... the floor, in a storm: CPU of an event",
        "µs",
        None,
        least.as_secs_f64() * 1e6 / deliveries,
    );
    table.whole("storm, 1000 clients × 1000 missed events: CPU", ratio(ours, least));
    table.whole("storm, until all have them", wall.as_secs_f64());
    table.add("... until all have them from the floor", "s", None, floor.as_secs_f64());
    table.generator("storm", worlds[1].generator);
}

/// Many at once, while half as many again as they missed arrive.
fn splice(worlds: &mut [World; 2], scale: &Scale, table: &mut Table) {
    let (clients, missed) = (scale.clients, 1000 / scale.part.min(10));
    let [(least, _), (ours, wall)] = worlds
        .each_mut()
        .map(|world| timed(world, |world| world.come_back_while(clients, missed, missed / 2)));
    table.whole("splice, the storm while 500 more arrive: CPU", ratio(ours, least));
    table.add("... until all have all of them", "s", None, wall.as_secs_f64());
    table.generator("splice", worlds[1].generator);
}

/// What something costs the program, and how long it takes.
fn timed(world: &mut World, what: impl FnOnce(&mut World)) -> (Duration, Duration) {
    let mut wall = Duration::ZERO;
    let cost = world.cost(|world| {
        let start = Instant::now();
        what(world);
        wall = start.elapsed();
    });
    // The next one begins when those who were there are gone.
    world.load.leave();
    thread::sleep(Duration::from_millis(50));
    (cost, wall)
}
