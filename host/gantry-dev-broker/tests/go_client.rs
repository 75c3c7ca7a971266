//! Apache's Go client uses the embedded broker.
//!
//! These tests need Go. Without it they are skipped with a note, unless `GANTRY_REQUIRE_GO` is set.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod clients;

use gantry_apache::GoClient;

scenarios! {
    GoClient::for_tests();
    messages_arrive_once_each,
    tags_keys_and_delays_are_kept,
    a_retry_comes_back_after_its_level,
    members_join_and_leave,
    a_killed_member_is_replaced,
    an_orderly_consumer_gets_queues_in_order,
    a_killed_orderly_member_is_replaced_when_its_locks_end,
    an_orderly_consumer_goes_on_after_a_restart,
    sql_selects_messages,
    offsets_survive,
    broadcasts_reach_every_member,
    timers_are_kept,
    transactions_end,
    requests_are_answered,
    bodies_of_any_kind_arrive_equal,
}
