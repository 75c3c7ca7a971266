//! Typed headers: the ext fields of each request and response, under the names of RocketMQ's Java classes.
//!
//! A field of type `Option` is one that Java omits when it is null; the others must be there, or have the default
//! that is written at the field. Unknown fields are ignored, as RocketMQ does.

#[macro_use]
mod field;

mod admin;
mod group;
mod offset;
mod pop;
mod pull;
mod route;
mod send;
mod transaction;

pub use admin::*;
pub use field::{BoundaryType, CommandHeader, HeaderError, HeaderField};
pub use group::*;
pub use offset::*;
pub use pop::*;
pub use pull::*;
pub use route::*;
pub use send::*;
pub use transaction::*;
