//! No number without a test: each series that is exported, and the test that makes it move by what it knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{QUIET, SHARED, seconds};
use crate::support::world::{Ended, World, event_source, settle};

const HELD: &str = "metrics::whoever_is_held_while_the_upstream_is_away_is_counted_with_what_came_of_it";
const WINDOWS: &str = "metrics::what_windows_hold_is_looked_up_when_somebody_reads";
const BRIDGES: &str = "metrics::a_loss_that_the_upstream_bridges_is_no_break_and_one_that_it_does_not_is";
const BREAKS: &str = "metrics::a_break_is_counted_by_its_reason_and_a_proper_end_is_none";
const ENDS: &str = "metrics::how_a_stream_ends_that_nobody_listens_to_is_told_apart";
const EVICTS: &str = "metrics::what_is_let_go_before_its_time_is_an_eviction_by_its_cause";
const SENT: &str = "metrics::what_clients_are_sent_is_counted_in_events_and_bytes";
const PROCESS: &str = "metrics::the_process_is_measured_under_the_names_that_prometheus_gives_it";
const HANGUP: &str = "reload/binary::a_hangup_loads_a_good_file_and_leaves_everything_where_it_is_bad";
const CERTIFICATE: &str = "tls::a_new_certificate_is_shown_to_new_clients_and_a_bad_one_to_nobody";
const HELLOS: &str = "odd::a_hello_that_comes_in_part_or_not_at_all_is_counted_and_holds_up_nobody_else";
const TURNS: &str = "admission::so_many_admissions_wait_for_a_head_at_once_and_the_others_for_their_turn";
const WITHDRAWN: &str = "guard::a_client_that_is_slow_is_not_asked_what_was_answered";
const ANSWERS: &str = "metrics/moved::each_answer_is_counted_by_its_name";
const FLIGHT: &str = "metrics/moved::what_is_on_its_way_is_counted_while_it_is";
const ASKED: &str = "metrics/moved::what_became_of_a_request_is_counted_with_what_the_upstream_said";

/// A family as it is exported, what its label says, and the test.
#[rustfmt::skip]
const SHOWN: &[(&str, &[&str], &str)] = &[
    ("respool_admissions_total", &["yes", "no"], TURNS),
    ("respool_admissions_total", &["failed"], "admission::who_waited_for_its_turn_is_held_for_the_rest_of_the_time"),
    ("respool_admissions_total", &["cached"], "admission::a_storm_of_clients_that_come_back_is_one_request_each"),
    ("respool_admissions_total", &["late"], "admission::case_10_a_late_head_gives_up_its_place_and_nothing_is_replayed_before_its_yes"),
    ("respool_admitting", &["waiting", "asking", "late"], "admission::case_10_a_late_head_gives_up_its_place_and_nothing_is_replayed_before_its_yes"),
    ("respool_answers_total", &["fresh", "resumed", "gap_expired", "gap_generation", "gap_ahead", "foreign", "passed"], ANSWERS),
    ("respool_breaks_total", &["lost", "oversized"], BREAKS),
    ("respool_breaks_total", &["refused", "unanswered", "contradicted"], BRIDGES),
    ("respool_breaks_total", &["starved"], "metrics::a_frame_for_which_there_is_no_memory_is_a_break"),
    ("respool_build_info", &[""], "command::it_serves_clients_and_the_admin_until_it_is_told_to_end"),
    ("respool_catch_up_seconds", &[""], "metrics::the_time_to_catch_up_is_that_until_all_that_was_missed_is_written"),
    ("respool_certificate_renewals_total", &["done", "failed"], CERTIFICATE),
    ("respool_clients", &[""], "admission::readmit_cuts_whom_the_upstream_would_let_in_no_more"),
    ("respool_clients_cut_total", &["lost"], ASKED),
    ("respool_clients_cut_total", &["behind"], "limits::a_client_whose_unread_part_had_to_give_way_is_cut_and_finds_a_gap"),
    ("respool_clients_cut_total", &["drain"], "metrics::a_drain_shows"),
    ("respool_clients_cut_total", &["stalled"], "shared::case_12_a_client_that_takes_nothing_is_cut_and_holds_nobody"),
    ("respool_clients_cut_total", &["revoked"], "admission::readmit_cuts_whom_the_upstream_would_let_in_no_more"),
    ("respool_connections", &[""], "limits::told::a_client_beyond_limits_connections_waits"),
    ("respool_config_loaded_timestamp_seconds", &[""], HANGUP),
    ("respool_descriptor_shortages_total", &[""], "strain/descriptors::where_descriptors_run_out_clients_wait_and_all_else_goes_on"),
    ("respool_connections_cut_total", &["head"], "limits::heads::a_head_that_was_begun_and_does_not_come_is_told_of"),
    ("respool_connections_cut_total", &["frames"], "limits::overused::frames_beyond_two_thousand_that_ask_for_nothing_end_their_connection"),
    ("respool_connections_cut_total", &["given_up"], "limits::overused::requests_beyond_a_hundred_that_are_given_up_end_their_connection"),
    ("respool_connections_cut_total", &["protocol"], "limits::overused::what_http_2_is_known_to_be_abused_with_ends_its_connection"),
    ("respool_draining", &[""], "metrics::a_drain_shows"),
    ("respool_event_bytes_total", &[""], SENT),
    ("respool_events_total", &[""], SENT),
    ("respool_evictions_total", &["memory", "lingering"], EVICTS),
    ("respool_guarded_events_total", &["live", "withdrawn"], WITHDRAWN),
    ("respool_heads_awaited", &[""], FLIGHT),
    ("respool_held_requests", &[""], HELD),
    ("respool_hellos_total", &["complete", "partial", "none"], HELLOS),
    ("respool_hold_seconds", &["answered", "cut", "drained", "left"], HELD),
    ("respool_lag_bytes", &[""], "metrics::the_lag_is_that_of_the_client_furthest_behind"),
    ("respool_lingering", &[""], "limits::ten_thousand_clients_that_open_and_close_leave_so_many_connections_and_take_nobodys_window"),
    ("respool_memory_bytes", &[""], EVICTS),
    ("respool_memory_limit_bytes", &[""], EVICTS),
    ("respool_partial_frames", &[""], FLIGHT),
    ("respool_reloads_total", &["loaded", "unchanged", "refused"], HANGUP),
    ("respool_repeated_ids_total", &[""], "upstream_ids::case_5_a_repeated_id_resumes_at_its_first_occurrence_and_is_counted"),
    ("respool_replayed_events_total", &[""], "gap::on_gap_replay_gives_what_is_still_retained_and_a_cut_in_it_loses_nothing"),
    ("respool_requests_total", &["forwarded", "failed"], ASKED),
    ("respool_requests_total", &["refused"], "hygiene::what_is_no_request_at_all_is_counted_as_refused"),
    ("respool_resets_total", &[""], "reset::who_is_there_gets_what_it_had_coming_then_the_reset_once_with_the_new_first_position"),
    ("respool_retained_bytes", &[""], WINDOWS),
    ("respool_retained_events", &[""], WINDOWS),
    ("respool_sent_bytes_total", &[""], SENT),
    ("respool_sent_events_total", &[""], SENT),
    ("respool_stream_ends_total", &["finished", "broken"], BREAKS),
    ("respool_stream_ends_total", &["abandoned", "lingered"], ENDS),
    ("respool_stream_ends_total", &["evicted"], EVICTS),
    ("respool_stream_ends_total", &["moved"], "moving::a_foreign_client_moves_onto_the_window_at_the_first_event_that_it_holds"),
    ("respool_streams", &["private"], "private::case_8_an_ended_session_is_kept_for_linger_from_when_its_last_client_left"),
    ("respool_streams", &["shared"], "shared::nothing_is_left_when_linger_is_over"),
    ("respool_untyped_events_total", &[""], "odd::what_has_no_type_where_a_rule_asks_for_one_is_retained_and_counted"),
    ("respool_upstream_connects_total", &["stream", "refused", "failed"], ASKED),
    ("respool_window_age_seconds", &[""], WINDOWS),
    ("process_cpu_seconds_total", &[""], PROCESS),
    ("process_max_fds", &[""], PROCESS),
    ("process_open_fds", &[""], PROCESS),
    ("process_resident_memory_bytes", &[""], PROCESS),
    ("process_start_time_seconds", &[""], PROCESS),
];

/// All that is exported: each family, with each value of its closed label.
fn exported(metrics: &str) -> BTreeSet<(String, String)> {
    let kinds: BTreeMap<&str, &str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let named = samples.map(|sample| {
        let name = sample.split(['{', ' ']).next().unwrap();
        // Of a histogram, one stands for all.
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let family = stem.unwrap_or(name);
        let histogram = kinds.get(family) == Some(&"histogram");
        (if histogram { family } else { name }.to_owned(), label(sample))
    });
    let named: BTreeSet<_> = named.collect();
    // What is announced and has no series would be missed above.
    for family in kinds.keys() {
        assert!(named.iter().any(|(name, _)| name.starts_with(family)), "{family} has no series");
    }
    named
}

fn label(sample: &str) -> String {
    let inside =
        sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(in_it, _)| in_it);
    let pairs = inside.split(',').filter_map(|pair| pair.split_once('='));
    let closed = pairs.filter(|(name, _)| !["route", "le", "version"].contains(name));
    closed.map(|(_, value)| value.trim_matches('"')).collect()
}

#[tokio::test(start_paused = true)]
async fn every_series_that_is_exported_is_moved_by_a_test() {
    let world = World::new(QUIET);
    let shown: BTreeSet<_> = SHOWN
        .iter()
        .flat_map(|(family, labels, _)| {
            labels.iter().map(|label| ((*family).to_owned(), (*label).to_owned()))
        })
        .collect();
    let exported = exported(&world.app.metrics().encode());
    let unshown: Vec<_> = exported.difference(&shown).collect();
    assert!(unshown.is_empty(), "no test moves {unshown:?}: write one, and a row of it");
    let gone: Vec<_> = shown.difference(&exported).collect();
    assert!(gone.is_empty(), "nothing like {gone:?} is exported");
}

/// The functions of a file, by their names: whether each is a test, and its text.
fn functions(text: &str) -> BTreeMap<&str, (bool, &str)> {
    let begins = text.match_indices("fn ").filter_map(|(at, _)| {
        let (before, rest) = (&text[..at], &text[at + 3..]);
        let indent = before.rsplit('\n').next()?;
        let margin = &indent[..indent.len() - indent.trim_start().len()];
        let name = rest.split(['(', '<']).next()?;
        let end = rest.find(&format!("\n{margin}}}\n"))?;
        let above = before.trim_end().trim_end_matches("async").trim_end();
        let attribute = above.rsplit('\n').next()?.trim();
        Some((name, (attribute.starts_with("#[") && attribute.contains("test"), &rest[..end])))
    });
    begins.collect()
}

/// What a function says, with all of its file that it calls.
fn said<'a>(name: &str, all: &BTreeMap<&'a str, (bool, &'a str)>) -> String {
    let mut names = BTreeSet::from([name]);
    loop {
        let said: String = names.iter().map(|name| all[name].1).collect();
        let before = names.len();
        names.extend(all.keys().filter(|called| said.contains(&format!("{called}("))));
        if names.len() == before {
            return said;
        }
    }
}

/// The test is there, and speaks of what it is said to move, by the name that it is exported under.
#[test]
fn each_of_these_tests_is_there_and_names_what_it_moves() {
    for (family, labels, test) in SHOWN {
        let (file, name) = test.rsplit_once("::").unwrap();
        let path = format!("tests/it/{}.rs", file.replace("::", "/"));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{test}: {fault}"));
        let all = functions(&text);
        assert!(all.get(name).is_some_and(|(is_test, _)| *is_test), "{test} is no test");
        let said = said(name, &all);
        for word in [*family].iter().chain(*labels) {
            assert!(said.contains(word), "{test} does not speak of {word}, of {family}");
        }
    }
}

fn answers(world: &World, route: &str) -> Vec<String> {
    let prefix = format!("respool_answers_total{{route=\"{route}\",answer=");
    let mut all = world.moved(&prefix);
    all.sort();
    all
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_counted_by_its_name() {
    let own = "[[route]]\npath = '/own'\nheartbeat = 'none'\n";
    let file = format!("limits = {{ streams = 2 }}\n{SHARED}window = {{ events = 2 }}\n{own}");
    let mut world = World::new(&file);
    let (mut client, mut upstream) = world.open("/e").await;
    upstream.events(["a", "b", "c", "d"]).await;
    client.read().await;
    let ids: Vec<String> = client.held().events.iter().map(|event| event.id.clone()).collect();
    let ahead = ids[0].replace("-1", "-99");
    for (id, times) in [(&ids[2], 4), (&ids[0], 3), (&"r0000000000000-7".to_owned(), 2), (&ahead, 1)] {
        for _ in 0..times {
            world.event_source("/e", id).await;
        }
    }
    assert_eq!(
        answers(&world, "/e"),
        [
            r#""fresh"} 1"#,
            r#""gap_ahead"} 1"#,
            r#""gap_expired"} 3"#,
            r#""gap_generation"} 2"#,
            r#""resumed"} 4"#,
        ]
    );
    assert!(answers(&world, "/own").is_empty());
    // With an id of somebody else's, and then one for whom there is no place.
    for (id, more) in [("theirs", r#""foreign"} 1"#), ("", r#""passed"} 1"#)] {
        let _client = world.send(&event_source("/own", id)).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        settle().await;
        assert_eq!(answers(&world, "/own").last().map(String::as_str), Some(more));
        std::mem::forget((_client, upstream));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_counted_while_it_is() {
    for route in [SHARED, QUIET] {
        let mut world = World::new(route);
        let (heads, halves) = ("respool_heads_awaited{route=\"/e\"}", "respool_partial_frames{route=\"/e\"}");
        let now = |world: &World| (world.metric(heads), world.metric(halves));
        assert_eq!(now(&world), (0, 0), "{route}");
        let _client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        settle().await;
        assert_eq!(now(&world), (1, 0), "{route}");
        upstream.begin().await;
        settle().await;
        assert_eq!(now(&world), (0, 0), "{route}");
        upstream.send("data: half").await;
        assert_eq!(now(&world), (0, 1), "{route}");
        upstream.send("\n\n").await;
        assert_eq!(now(&world), (0, 0), "{route}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_request_is_counted_with_what_the_upstream_said() {
    let mut world = World::new(SHARED);
    let (mut client, upstream) = world.open("/e").await;
    assert_eq!(world.moved("respool_upstream_connects_total"), ["{route=\"/e\",outcome=\"stream\"} 1"]);
    assert_eq!(world.moved("respool_requests_total"), ["{outcome=\"forwarded\"} 1"]);
    world.origin.set_away(true);
    drop(upstream);
    // They are not all cut at once.
    seconds(10).await;
    client.read().await;
    assert_eq!(client.end, Some(Ended::Cut));
    assert_eq!(world.moved("respool_clients_cut_total"), ["{route=\"/e\",reason=\"lost\"} 1"]);
    world.request("GET /other HTTP/1.1\nHost: h").await.read().await;
    assert_eq!(world.metric("respool_requests_total{outcome=\"failed\"}"), 1);
    assert!(world.metric("respool_upstream_connects_total{route=\"/e\",outcome=\"failed\"}") >= 1);

    let mut world = World::new(SHARED);
    let _client = world.send(&event_source("/e", "")).await;
    world.origin.accept().await.refuse(404).await;
    settle().await;
    assert_eq!(world.moved("respool_upstream_connects_total"), ["{route=\"/e\",outcome=\"refused\"} 1"]);
}

/// `increase()` over a counter that vanished would lose what it counted last; and there are as many as anybody ever
/// wrote into the file.
#[tokio::test(start_paused = true)]
async fn what_a_route_counted_stays_when_it_is_gone_and_what_it_has_falls_to_nothing() {
    let mut world = World::new(SHARED);
    let (client, mut upstream) = world.open("/e").await;
    upstream.events(["a", "b"]).await;
    assert_eq!(world.metric("respool_clients{route=\"/e\"}"), 1);
    assert_eq!(world.metric("respool_retained_events{route=\"/e\"}"), 2);
    world.change("[[route]]\npath = '/other'\nmode = 'pass'\n").await;
    drop((client, upstream));
    seconds(600).await;
    assert_eq!(world.metric("respool_events_total{route=\"/e\"}"), 2);
    assert_eq!(world.metric("respool_answers_total{route=\"/e\",answer=\"fresh\"}"), 1);
    for level in ["clients", "retained_events", "retained_bytes", "lag_bytes"] {
        assert_eq!(world.metric(&format!("respool_{level}{{route=\"/e\"}}")), 0, "{level}");
    }
    assert!(exported(&world.app.metrics().encode()).len() >= 80);
}
