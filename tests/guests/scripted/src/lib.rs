//! A listener whose messages say what it shall answer: see [`script`].

mod script;

gantry_guest::export_listener!(script::Scripted);
