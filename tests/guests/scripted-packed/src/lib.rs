//! The listener of the guest `scripted`, in the world `message-listener-packed`: the same script, the same answers.

#[path = "../../scripted/src/script.rs"]
mod script;

gantry_guest::export_listener!(script::Scripted, packed);
