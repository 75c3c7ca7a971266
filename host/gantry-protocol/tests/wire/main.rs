//! The codec against bytes captured from the Java client, broker and name server, and against input made to hurt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bodies;
mod captures;
mod frames;
mod headers;
mod hostile;
mod pops;
mod records;
mod round_trips;
mod signatures;
mod vectors;
