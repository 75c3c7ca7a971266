//! The listener of the guest `tells`, which takes its batches as records.

#[path = "../../tells/src/tell.rs"]
mod tell;

gantry_guest::export_listener!(tell::Tells, records);
