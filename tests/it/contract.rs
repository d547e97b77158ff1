//! Which tests show which statement of the contract, and that they are there.

use std::{collections::BTreeSet, fs, path::Path};

/// What a client sees (3), the two kinds of stream (4), rules on events (5), decided cases (9). A `*` stands for any
/// ending.
const DESIGN: &str = "
3.1 requests and answers pass unchanged
  the_upstream_gets_what_the_client_sent the_client_gets_what_the_upstream_sent odd_targets_arrive_as_they_are
3.1 Host, forwarded
  the_host_and_where_a_request_comes_from_are_told_as_configured
3.1 bodies under back-pressure
  a_large_download_passes_in_little_memory a_large_upload_passes_in_little_memory
3.1 trailers, 100, upgrades, HEAD, HTTP/1.0
  trailers_pass_both_ways a_body_waits_for_the_upstreams_100 a_websocket_echoes_through_us
  answers_without_a_body_keep_their_lengths an_old_client_*
3.1 the response decides
  the_response_decides_what_is_an_event_stream
3.1 asked for uncompressed
  what_may_be_a_stream_is_asked_for_uncompressed_and_all_else_as_the_client_did
3.1 HEAD, OPTIONS, pass
  head_and_options_and_a_route_that_passes_are_left_alone
3.2 byte for byte
  a_stream_is_byte_for_byte_but_for_its_mark_and_id_lines_live_and_replayed
3.2 the head
  the_head_goes_out_at_once_with_what_a_stream_needs
3.2 a frame waits for nothing, half of one is held
  a_complete_frame_waits_for_nothing_and_an_incomplete_one_is_held
3.2 comment lines
  comments_that_do_not_end_do_not_wait_for_a_blank_line
3.2 chunks
  a_chunk_never_splits_a_frame_or_a_line_end the_upstreams_chunks_may_be_split_anywhere
3.3 the id line
  an_id_line_stands_right_before_the_blank_line_in_the_frames_own_line_end
3.4 who gets ids
  who_gets_ids only_an_event_source_is_given_ids_that_are_hidden
  a_page_that_may_ask_may_ask_with_an_id_where_the_route_says_so
3.4 who stumbles
  a_client_that_stumbles_gets_ids_and_no_frame_without_data who_stumbles_is_for_the_operator_to_say
3.4 without ids nothing is kept
  who_gets_ids
3.5 the form
  an_id_of_ours_is_r_and_a_generation_of_fixed_length_and_a_number_that_rises_by_one
3.5 keep
  keep_is_ours_until_the_upstream_sends_an_id_of_its_own a_page_sees_ids_of_the_upstreams_as_without_us
  an_id_that_the_upstream_repeats_never_skips_an_event
3.5 replace
  replaced_ids_are_ours_whatever_the_upstream_sends the_ids_of_some_types_can_stay
3.5 hidden
  a_page_sees_the_ids_that_the_upstream_sent_and_resumes_from_each_event
  the_position_comes_in_the_same_write_as_its_event a_page_keeps_the_id_of_the_upstreams_that_it_came_with
3.5 the pump's own last id
  the_pump_comes_back_with_the_request_of_the_client_admitted_last_and_the_upstreams_last_id
3.5 ours never reach the upstream
  an_id_of_ours_never_reaches_the_upstream_and_all_else_does an_id_that_we_made_never_reaches_the_upstream_*
3.6 the last line that is not empty
  the_last_line_that_is_not_empty_counts
3.6 cursor_query
  an_id_of_ours_in_the_query_resumes_under_every_name_that_polyfills_use
  what_no_window_knows_is_no_cursor_and_goes_on_untouched
  an_id_of_the_upstreams_that_the_shared_window_holds_is_a_cursor other_names_are_the_operators_to_give
3.6 first the window, then the form
  an_upstream_whose_ids_have_our_form_is_resumed_by_them
3.6 judged when the request arrives
  the_judgement_is_made_when_the_request_arrives
3.6 resumed
  a_private_stream_cut_at_every_byte_loses_and_doubles_nothing
  a_shared_stream_cut_at_every_byte_loses_and_doubles_nothing
  a_replay_that_is_cut_at_every_byte_is_resumed_too
3.6 gapped
  a_gap_by_count a_gap_by_generation pitfall_a_window_is_bounded_by_bytes_too
  pitfall_a_window_that_age_has_emptied_proves_nothing
  pitfall_a_cursor_ahead_of_the_tail_is_a_gap_and_not_silence
3.6 on_gap, gap_event
  on_gap_replay_gives_what_is_still_retained_and_a_cut_in_it_loses_nothing
  a_gap_event_comes_first_to_a_gapped_client_and_to_nobody_else
3.6 foreign
  case_4_*
3.6 foreign: moves onto the window
  a_foreign_client_moves_onto_the_window_at_the_first_event_that_it_holds
  wherever_the_own_connection_is_torn_nothing_is_lost_or_doubled
3.7 the answer says so
  a_stream_says_what_readme_lists
3.7 alike
  pitfall_forged_anothers_and_ended_ids_are_answered_alike
3.8 prime
  a_prime_is_an_id_that_can_be_come_back_with only_an_event_source_is_primed
  a_gapped_event_source_is_primed_with_the_fence
  each_new_client_gets_its_own_hello_with_its_fence_and_no_prime case_4_*
3.9 control frames
  control_frames_pass_live_and_are_not_replayed_but_for_the_last_valid_retry
3.9 retry
  a_resumed_client_is_told_the_last_reconnection_time_again
  each_client_is_told_a_time_of_its_own_in_its_first_frame
3.9 heartbeat
  a_heartbeat_is_a_comment_line_between_frames pitfall_no_shape_suits_every_client_so_a_route_chooses
  who_gets_ids
3.10 ends
  ends_are_ends_and_losses_are_cuts case_12_a_client_that_takes_nothing_is_cut_and_holds_nobody case_18_*
3.10 framed by the connection
  a_stream_without_a_frame_of_its_own_is_lost_when_reset_and_ended_when_closed an_old_client_is_cut_by_a_reset
3.10 HTTP/2
  ends_are_ends_and_cuts_are_resets_after_all_that_came
  case_12_a_stream_that_takes_nothing_is_reset_and_its_neighbours_stay
  case_18_a_drain_says_goaway_and_cuts_streams_between_frames
3.11 the upstream's no
  the_no_of_the_upstream_is_the_no_of_the_client a_refusal_on_resume_is_passed_on_and_not_one_event_with_it
  after_a_credential_is_revoked_a_resume_gets_the_upstreams_no_and_no_event
3.11 a session's connection is its permission
  the_upstream_is_asked_once_however_often_the_client_comes_back
3.12 held, then cut
  an_upstream_that_is_away_is_waited_for_and_then_the_client_is_cut_unanswered
  an_upstream_that_is_away_is_waited_for_where_a_route_matches
3.12 outage.statuses
  a_status_that_stands_for_nobody_holds_a_request_for_a_stream any_other_status_and_any_other_request_passes
3.12 others at once
  an_upstream_that_is_down_is_told_at_once
3.12 what is sent again
  a_get_is_sent_again_when_a_pooled_connection_was_dead nothing_else_is_sent_again
3.12 no limit on the head
  there_is_no_time_limit_on_the_upstreams_head
3.12 over streams, over connections
  over_the_limit_of_streams_a_new_one_passes_without_ids over_the_limit_clients_wait_their_turn
4 key: everything but the harmless
  pitfall_an_id_of_one_session_shows_nothing_of_anothers
  a_request_that_means_the_same_resumes_although_its_harmless_headers_changed
  two_anonymous_clients_share_nothing_by_default
4 key: what the operator names
  a_key_of_parts_lets_those_share_who_have_them_in_common
4 key: a cookie that was replaced
  a_client_with_a_replaced_cookie_is_the_one_that_had_the_former a_client_with_any_other_cookie_is_another
  a_replacement_counts_for_the_longest_linger_and_no_longer
4 key: warnings
  who_shares_a_stream_without_being_asked_is_warned_of
4 private: a connection each
  each_private_client_has_an_upstream_connection_of_its_own
4 private: linger
  a_client_that_got_an_id_is_waited_for_as_long_as_linger_says a_client_that_got_no_id_is_not_waited_for
4 private: any method, asked once, its body dropped
  what_began_with_a_post_goes_on_with_any_method_and_is_asked_for_once what_began_with_a_get_goes_on_with_a_post
  a_post_is_resumed_by_a_post_or_a_get_and_its_body_is_not_sent_again
  the_large_body_of_a_resume_is_dropped_as_it_comes
4 private: the first head
  the_answer_to_a_resume_has_the_first_head_without_its_cookie
4 private: never dropped while attached
  a_slow_client_holds_its_upstream_back_and_loses_nothing
  a_pump_that_waited_for_a_slow_client_goes_on_when_it_reads
4 private: never reconnects
  a_private_pump_never_reconnects
4 shared: one pump
  two_hundred_clients_are_one_upstream_connection_and_see_the_same_ids
4 shared: GET only
  other_requests_for_a_shared_path_pass_or_are_private a_get_with_a_body_shares_no_stream
4 shared: linger, pin
  nothing_is_left_when_linger_is_over a_pinned_stream_is_subscribed_at_start_and_never_let_go
4 shared: admit
  a_new_client_starts_at_its_fence_and_nothing_is_lost_while_it_is_admitted
  a_refusal_on_resume_is_passed_on_and_not_one_event_with_it
4 shared: admit = none, other origins
  without_asking_a_client_of_another_origin_is_asked_for_all_the_same
  where_nobody_is_asked_a_head_for_any_origin_lets_every_origin_in
4 shared: admit_cache
  a_storm_of_clients_that_come_back_is_one_request_each
  a_yes_counts_for_its_time_for_who_comes_back_and_for_nobody_else
4 shared: readmit
  readmit_*
4 reconnect: backoff, retry as a floor
  reconnects_are_paced_and_end_when_nobody_is_expected_any_more
  reconnects_wait_for_as_long_as_the_upstream_asked
4 reconnect: by whom, with what
  the_pump_comes_back_with_the_request_of_the_client_admitted_last_and_the_upstreams_last_id
  the_pump_comes_back_with_a_request_of_those_who_are_left
4 upstream_resumes
  where_the_upstream_resumes_by_its_own_ids_nobody_notices_that_it_was_lost
  where_the_upstream_has_sent_no_id_or_refuses_it_the_loss_is_a_break
4 on_break = close
  pitfall_a_loss_is_a_break_clients_get_everything_are_cut_and_find_a_new_generation
4 on_break = hold
  with_hold_*
4 a proper end is no break
  a_proper_end_is_no_break_and_nothing_is_opened_until_a_client_asks
5 type
  a_type_can_stand_in_the_data what_has_no_type_is_retained
5 precedence
  a_hello_comes_before_all_other_rules hello_comes_before_a_guard a_reset_comes_before_*
  with_retain_only_those_types_are_kept_and_ephemeral_comes_first
5 hello
  each_new_client_gets_its_own_hello_with_its_fence_and_no_prime
  a_gapped_client_gets_exactly_one_with_the_fence
  pitfall_a_resumed_client_gets_no_hello_and_it_is_never_replayed
5 hello_events, hello_wait
  a_hello_may_have_several_events_and_comments_between
  a_hello_that_never_comes_is_waited_for_as_long_as_hello_wait_says
5 hello on private streams
  a_hello_has_no_effect_on_private_streams a_hello_of_a_private_stream_is_warned_of
5 ephemeral
  ephemeral_types_are_live_and_never_replayed an_ephemeral_event_gets_no_id_and_takes_none_away
  ephemeral_events_stand_at_their_place
5 retain
  with_retain_only_those_types_are_kept_and_ephemeral_comes_first
5 retain: warning beside hello
  what_is_lost_to_who_comes_back_without_a_hello_is_warned_of
5 reset
  who_is_there_gets_what_it_had_coming_then_the_reset_once_with_the_new_first_position
  who_comes_back_from_before_finds_a_gap_and_is_served_as_a_new_client
5 guard: live, in replay, for ttl
  what_was_answered_before_it_was_asked_is_not_asked
  what_was_answered_while_a_client_was_away_is_not_in_its_replay when_its_time_is_over_it_can_be_asked_again
5 guard: bounded
  what_is_remembered_is_bounded_and_given_back
9.1
  case_1_* newest_events_and_half_frames_are_within_the_budget_too
9.2
  case_2_*
9.3
  case_3_* a_new_client_starts_at_its_fence_and_nothing_is_lost_while_it_is_admitted
9.4
  case_4_*
9.5
  case_5_*
9.6
  case_6_*
9.7
  case_7_*
9.8
  case_8_*
9.9
  case_9_*
9.10
  case_10_*
9.11
  case_11_*
9.12
  case_12_*
9.13
  case_13_*
9.14
  case_14_*
9.15
  case_15_* replaced_ids_are_ours_whatever_the_upstream_sends
9.16
  case_16_*
9.17
  case_17_*
9.18
  case_18_*
9.19
  case_19_*
9.19 the status page
  case_19_*
7 doctor: a healthy path comes out clean
  a_private_stream_comes_out_clean_in_words_too_and_by_a_unix_socket
  a_private_stream_with_a_hello_and_heartbeats_comes_out_clean
  a_shared_stream_with_a_hello_and_ephemeral_heartbeats_comes_out_clean
  hidden_ids_and_the_upstreams_own_come_out_clean
7 doctor: what is wrong is found
  a_proxy_that_* an_event_server_whose_ids_are_* what_is_no_event_stream_says_what_it_is
  a_server_without_replay_loses_and_the_losses_are_counted
7 doctor --suggest
  a_plain_broadcast_is_shared an_agents_server_has_its_type_in_the_data_a_hello_and_heartbeats
  what_differs_by_user_is_private_and_what_does_not_has_the_path_for_a_key
  a_name_in_the_id_of_the_first_event_stays ids_that_are_* a_stream_for_each_connection_is_private
6 TLS with clients
  a_new_certificate_*
6 SIGHUP: a bad one changes nothing, a good one drops no connection and no window
  a_hangup_loads_a_good_file_and_leaves_everything_where_it_is_bad
  a_stream_whose_route_is_as_it_was_is_untouched
  lower_bounds_count_for_who_comes_back_and_cut_nobody_who_is_here
";

/// The wire's rules, by number, as far as a proxy can break them.
const WIRE: &str = "
1 UTF-8; 6, 7, 8, 9, 10, 17 fields
  a_stream_is_byte_for_byte_but_for_its_mark_and_id_lines_live_and_replayed
2 the mark
  a_stream_is_byte_for_byte_but_for_its_mark_and_id_lines_live_and_replayed
  a_byte_order_mark_in_the_middle_stays_one_for_a_client_that_starts_there
3 line ends
  case_14_* a_chunk_never_splits_a_frame_or_a_line_end the_upstreams_chunks_may_be_split_anywhere
4 empty lines; 5 comments
  a_stream_is_byte_for_byte_but_for_its_mark_and_id_lines_live_and_replayed
  comments_that_do_not_end_do_not_wait_for_a_blank_line
11, 12, 13, 14 ids
  a_page_sees_ids_of_the_upstreams_as_without_us
  a_page_sees_the_ids_that_the_upstream_sent_and_resumes_from_each_event
  an_upstream_that_resets_the_id_alone_takes_nobodys_place
15 a block without data
  control_frames_pass_live_and_are_not_replayed_but_for_the_last_valid_retry the_newest_lone_id_is_a_place
  a_prime_is_in_a_shape_that_its_client_takes
16 retry
  control_frames_pass_live_and_are_not_replayed_but_for_the_last_valid_retry
18 the rest is thrown away
  case_13_* a_private_stream_cut_at_every_byte_loses_and_doubles_nothing
19 frames, not packets
  a_complete_frame_waits_for_nothing_and_an_incomplete_one_is_held the_upstreams_chunks_may_be_split_anywhere
20 the id over a reconnect
  a_resumed_client_is_told_its_id_again_lest_an_event_without_one_take_it_away
21 never stored
  the_head_goes_out_at_once_with_what_a_stream_needs
22, 23 200 only, 204
  the_no_of_the_upstream_is_the_no_of_the_client the_response_decides_what_is_an_event_stream
24 Content-Type
  the_response_decides_what_is_an_event_stream
25 cuts are cuts
  ends_are_ends_and_losses_are_cuts
  an_upstream_that_is_away_is_waited_for_and_then_the_client_is_cut_unanswered
  a_body_that_the_upstream_cut_is_cut_after_all_that_came
26 ends are ends
  ends_are_ends_and_losses_are_cuts
27 opaque bytes
  case_4_a_foreign_id_goes_to_the_upstream_with_its_client_whose_ids_are_the_upstreams_alone
  an_id_is_known_without_the_spaces_that_http_takes_from_it
28, 29 redirects, origin
  the_client_gets_what_the_upstream_sent the_upstream_gets_what_the_client_sent
  answers_without_a_body_keep_their_lengths
30 CORS
  without_asking_a_client_of_another_origin_is_asked_for_all_the_same who_gets_ids
  head_and_options_and_a_route_that_passes_are_left_alone
31 the head at once
  the_head_goes_out_at_once_with_what_a_stream_needs
32 close()
  a_client_that_got_no_id_is_not_waited_for a_client_that_leaves_a_body_takes_the_upstreams_with_it
  a_client_that_got_an_id_is_waited_for_as_long_as_linger_says
33 no seam shows
  a_stream_that_goes_on_over_a_loss_begins_a_frame_anew
  where_the_upstream_resumes_by_its_own_ids_nobody_notices_that_it_was_lost case_16_*
34 compressed
  case_11_* the_response_decides_what_is_an_event_stream
35 framing
  the_response_decides_what_is_an_event_stream answers_without_a_body_keep_their_lengths
  a_length_that_the_upstream_gave_beside_chunks_is_not_passed_on
";

/// The pitfalls, in the order of their table.
const PITFALLS: &str = "
replay and live are two paths
  pitfall_nothing_is_lost_or_doubled_where_a_replay_meets_what_is_live
  whatever_happens_each_client_gets_what_it_missed
an empty buffer
  pitfall_a_window_that_age_has_emptied_proves_nothing
ahead of the tail
  pitfall_a_cursor_ahead_of_the_tail_is_a_gap_and_not_silence
a bare counter
  pitfall_an_id_from_before_a_restart_is_no_place_behind_it
  pitfall_a_bare_counter_that_begins_anew_is_no_place_behind_a_loss_or_an_end
a gap notice with a number
  pitfall_a_gap_notice_moves_nobody_past_an_event case_2_*
heartbeats fill the buffer
  pitfall_heartbeats_and_comments_push_no_event_out
a replay larger than a limit
  pitfall_a_replay_larger_than_any_buffer_is_paced_by_the_socket
no byte bound
  pitfall_a_window_is_bounded_by_bytes_too
  all_windows_together_stay_within_the_budget_and_the_greediest_gives_way
pruned only when written
  pitfall_age_empties_a_window_that_nothing_is_written_to
negative bounds
  pitfall_a_bound_of_zero_or_less_is_refused
another session's events
  pitfall_an_id_of_one_session_shows_nothing_of_anothers
unknown and forbidden
  pitfall_forged_anothers_and_ended_ids_are_answered_alike
the loss is invisible
  pitfall_a_loss_is_a_break_clients_get_everything_are_cut_and_find_a_new_generation
the welcome after a replay
  pitfall_a_resumed_client_gets_no_hello_and_it_is_never_replayed
a whitelist
  pitfall_every_type_is_retained_where_nothing_is_said
a heartbeat in a frame
  pitfall_a_heartbeat_is_never_written_into_a_frame
the heartbeat's shape
  pitfall_no_shape_suits_every_client_so_a_route_chooses
  pitfall_a_heartbeat_is_as_large_as_what_holds_small_writes_wants_it
409
  pitfall_a_quick_reconnect_takes_over_while_the_dead_connection_is_open case_7_*
no client, no record
  pitfall_what_comes_while_no_client_is_connected_is_recorded
everybody at once
  pitfall_everybody_returns_at_once_but_the_upstream_knows_better
  so_many_admissions_wait_for_a_head_at_once_and_the_others_for_their_turn case_18_*
a graceful shutdown
  pitfall_an_open_event_stream_does_not_block_a_shutdown
";

/// The names of all tests.
pub(super) fn tests(at: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            tests_in(&fs::read_to_string(&path).unwrap(), into);
        }
    }
}

fn tests_in(text: &str, into: &mut BTreeSet<String>) {
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        let function = line.trim_start_matches("async ").strip_prefix("fn ");
        if let (true, Some((name, _))) = (is_test, function.and_then(|rest| rest.split_once('('))) {
            into.insert(name.to_owned());
            is_test = false;
        }
    }
}

/// The rows of a table, each with the names below it.
pub(super) fn rows(table: &str) -> Vec<(&str, Vec<&str>)> {
    let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in table.lines().skip(1) {
        match line.strip_prefix("  ") {
            Some(names) => rows.last_mut().expect("a row above its names").1.extend(names.split(' ')),
            None => rows.push((line, Vec::new())),
        }
    }
    rows
}

fn is(named: &str, test: &str) -> bool {
    named.strip_suffix('*').map_or(named == test, |beginning| test.starts_with(beginning))
}

#[test]
fn each_row_is_shown_by_tests_that_are_there() {
    let mut all = BTreeSet::new();
    tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut all);
    let rows: Vec<_> = [DESIGN, WIRE, PITFALLS].into_iter().flat_map(rows).collect();
    for (row, names) in &rows {
        assert!(!names.is_empty(), "nothing shows {row}");
        for name in names {
            assert!(all.iter().any(|test| is(name, test)), "no test is named {name}, which is to show {row}");
        }
    }
    for test in all.iter().filter(|test| test.starts_with("case_") || test.starts_with("pitfall_")) {
        assert!(rows.iter().any(|(_, names)| names.iter().any(|name| is(name, test))), "{test} shows no row");
    }
}

#[test]
fn each_pitfall_is_named() {
    let pitfalls = rows(PITFALLS);
    assert_eq!(pitfalls.len(), 21);
    for (row, names) in pitfalls {
        assert!(names.iter().any(|name| name.starts_with("pitfall_")), "{row}");
    }
}
