//! Bodies of requests and responses, as RocketMQ writes them in JSON.
//!
//! Read them with [`crate::fastjson::from_slice`] and write them with [`crate::fastjson::to_vec`]: some have keys
//! that standard JSON does not allow. Unknown fields are ignored, absent ones have the defaults of Java.

#[macro_use]
mod wire_enum;

mod admin;
mod heartbeat;
mod lock;
mod offsets;
mod pop;
mod queue_map;
mod register;
mod route;
mod running_info;

pub use admin::*;
pub use heartbeat::*;
pub use lock::*;
pub use offsets::*;
pub use pop::*;
pub use queue_map::QueueMap;
pub use register::*;
pub use route::*;
pub use running_info::*;
