//! The engine against real components: the guests of tests/guests, built by `cargo xtask guests`, and small ones
//! written here as text for what no compiler would emit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cache;
mod common;
mod granted;
mod guests;
mod hostile;
mod languages;
mod last_words;
mod lean;
mod life;
mod loading;
mod messaging;
mod mutated;
mod pool;
mod reaching;
mod selectors;
mod series;
mod serving;
mod settling;
mod strategies;
mod text;
mod veterans;
mod waiting;
