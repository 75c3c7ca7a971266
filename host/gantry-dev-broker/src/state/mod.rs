//! What the broker knows besides messages: topics, groups and their members, offsets, locks, held pulls.
//! Tables with bounds; none of them knows a request.

pub(crate) mod groups;
pub(crate) mod held;
pub(crate) mod keys;
pub(crate) mod locks;
pub(crate) mod offsets;
pub(crate) mod order;
pub(crate) mod popping;
pub(crate) mod producers;
pub(crate) mod settings;
pub(crate) mod topics;
