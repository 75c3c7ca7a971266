//! The listener of the guest `scripted`, which takes its batches as records: the same script, the same answers.

#[path = "../../scripted/src/script.rs"]
mod script;

gantry_guest::export_listener!(script::Scripted, records);
