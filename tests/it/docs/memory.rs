//! `memory.md`: the formula is the accounting.

use super::{SHARED, page, prose};
use crate::support::world::World;

/// What a stream costs beside its events at most.
pub(super) const OVERHEAD: usize = 40 << 10;

/// Of memory.md: what a stream with so many events of this size may cost. `line` is an id line without its number.
fn formula(events: usize, size: usize, line: usize) -> usize {
    let digits = events.to_string().len();
    events * (size + line + digits + 8) + OVERHEAD
}

#[tokio::test(start_paused = true)]
async fn a_window_costs_what_the_formula_says() {
    for (config, line) in [(String::new(), 31), (SHARED.to_owned(), 20)] {
        for (events, size) in [(2048, 10), (2048, 62), (2048, 200), (2000, 1000), (300, 5000), (40, 15_000)] {
            let mut world = World::new(&config);
            let (client, mut upstream) = world.open("/e").await;
            drop(client);
            let frame = format!("data: {}\n\n", "x".repeat(size - "data: \n\n".len()));
            // One and a half times as many as stay.
            for _ in 0..events + events / 2 {
                upstream.send(&frame).await;
            }
            let kept = events.min(2048);
            let held = world.app.registry().held();
            let most =
                formula(kept, size, line) + if events < 2048 { formula(events / 2, size, line) } else { 0 };
            let least = kept * (size + line);
            assert!((least..=most).contains(&held), "{events} of {size}: {held} of {least} to {most}");
        }
    }
    // A stream without events, and the table.
    let mut world = World::new("");
    let open = world.open("/e").await;
    assert!(world.app.registry().held() < 1024, "{}", world.app.registry().held());
    drop(open);
    let table = page("memory.md");
    for said in
        ["| its own bytes, its id line, and 8 |", "| 20 and the digits", "| 31 and the digits", "+  40 KiB"]
    {
        assert!(table.contains(said), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_the_upstreams_costs_no_more_than_is_said() {
    let mut world = World::new(SHARED);
    let (client, mut upstream) = world.open("/e").await;
    upstream.send("id: 1\ndata: a\n\n").await;
    drop(client);
    let frame = |n: u64| format!("id: {n}\ndata: a\n\n");
    for n in 0..2000 {
        upstream.send(frame(1_000_000 + n)).await;
    }
    let beside = world.app.registry().held() - 2000 * (frame(1_000_000).len() + 8);
    let page = prose(&page("memory.md"));
    let said = page.split("an id of the upstream's | about ").nth(1).unwrap().split(' ').next().unwrap();
    let said: usize = said.parse().unwrap();
    assert!(
        (2000 * said / 2..=2000 * said + OVERHEAD).contains(&beside),
        "{} bytes, not {said}",
        beside / 2000
    );
}
