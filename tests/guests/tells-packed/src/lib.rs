//! The listener of the guest `tells`, in the world `message-listener-packed`.

#[path = "../../tells/src/tell.rs"]
mod tell;

gantry_guest::export_listener!(tell::Tells, packed);
